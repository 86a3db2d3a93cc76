// A certified OpenID provider for one test run: in memory, on a free port of loopback.
//
//   node server.mjs PARTS PORTS_FILE RESOURCE
//
// PARTS is the directory whose node_modules holds oidc-provider; the real address is written to PORTS_FILE once it listens.
// The clients `acme` and `globex` (secret: secret) get access tokens by the client credentials grant: a JWT for RESOURCE, whose
// `tenant` is the client's name, or an opaque one if they name no resource.

import { generateKeyPairSync } from 'node:crypto';
import { renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

const [parts, portsFile, resource] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(parts, 'package.json')));
const { Provider } = await import(pathToFileURL(require.resolve('oidc-provider')));

const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const key = { ...privateKey.export({ format: 'jwk' }), kid: 'provider-1', use: 'sig', alg: 'RS256' };

const client = (name) => ({
  client_id: name,
  client_secret: 'secret',
  grant_types: ['client_credentials'],
  redirect_uris: [],
  response_types: [],
});

const configuration = {
  clients: [client('acme'), client('globex')],
  jwks: { keys: [key] },
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => undefined,
      getResourceServerInfo: () => ({
        scope: 'api:read',
        audience: resource,
        accessTokenFormat: 'jwt',
        jwt: { sign: { alg: 'RS256' } },
      }),
    },
  },
  extraTokenClaims: (_context, token) => ({ tenant: token.clientId }),
};

// The issuer identifier holds the port, so the socket comes first and the provider second.
const server = createServer();
server.listen(0, '127.0.0.1', () => {
  const address = `127.0.0.1:${server.address().port}`;
  const provider = new Provider(`http://${address}`, configuration);
  server.on('request', provider.callback());
  writeFileSync(`${portsFile}.unfinished`, JSON.stringify({ http: address }));
  renameSync(`${portsFile}.unfinished`, portsFile);
});

process.on('SIGTERM', () => process.exit(0));
