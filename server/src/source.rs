//! From a path to the bytes of its files: one file, or every file below a directory, in the order of their names.
//!
//! Names are paths below the root with `/` written as `.`, as envoyproxy/ratelimit names them in its errors. Links to
//! files are followed, links to directories are not: a mounted ConfigMap shows each file once, as `basic.yaml ▸
//! ..data/basic.yaml`. Nothing here looks into a file.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Files of one root.
pub const FILES_MAX: usize = 10_000;
/// Bytes of one file.
pub const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Bytes of all files of one root.
pub const TOTAL_BYTES_MAX: usize = 256 * 1024 * 1024;
/// Directories inside each other.
pub const DEPTH_MAX: usize = 32;

/// A file as it was read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct SourceFile {
    /// Its name for people: `config.basic.yaml`.
    pub name: String,
    /// Where it is.
    pub path: PathBuf,
    /// What it holds.
    pub bytes: Arc<[u8]>,
}

/// Which files of a directory are read. A root that is itself a file is always read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Selection {
    /// Files and directories whose name begins with a dot.
    pub dot_files: DotFiles,
    /// Files by their extension.
    pub extensions: Extensions,
}

/// What becomes of names that begin with a dot.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum DotFiles {
    /// They are left alone: a ConfigMap's hidden copies, an editor's locks.
    Ignore,
    /// They are read like any other.
    Read,
}

/// What becomes of names by their extension.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Extensions {
    /// Every file is read.
    All,
    /// Only `.yaml`, `.yml` and `.json`, so that backups and notes may lie beside them.
    Documents,
}

/// Why the files could not be read. Operator: correct the path or its permissions.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// The system refused.
    #[error("cannot read {path}: {source}")]
    Io {
        /// What was to be read.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// One of the bounds of this module was passed.
    #[error("{path}: more than {bound}")]
    TooMuch {
        /// Where.
        path: PathBuf,
        /// The bound.
        bound: String,
    },
}

/// Reads the files of `root`, sorted by name. Blocks: not for a runtime worker.
///
/// A file that vanishes between listing and reading is left out; whoever watches the root reads again.
///
/// # Errors
/// When the root is missing, anything in it cannot be read, or a bound is passed: half a configuration is none.
pub fn read(root: &Path, selection: Selection) -> Result<Vec<SourceFile>, SourceError> {
    let mut found = Vec::new();
    if fs::metadata(root).map_err(|source| io_error(root, source))?.is_dir() {
        walk(root, selection, DEPTH_MAX, &mut found)?;
    } else {
        found.push(root.to_owned());
    }
    let mut files = Vec::with_capacity(found.len());
    let mut total: usize = 0;
    for path in found {
        let Some(bytes) = read_file(&path)? else { continue };
        total = total.saturating_add(bytes.len());
        if total > TOTAL_BYTES_MAX {
            return Err(too_much(root, format!("{} MiB in all", TOTAL_BYTES_MAX / 1024 / 1024)));
        }
        let name = name_of(&path, root);
        files.push(SourceFile { name, path, bytes });
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(files)
}

fn walk(directory: &Path, selection: Selection, depth: usize, found: &mut Vec<PathBuf>) -> Result<(), SourceError> {
    let Some(depth) = depth.checked_sub(1) else {
        return Err(too_much(
            directory,
            format!("{DEPTH_MAX} directories inside each other"),
        ));
    };
    for entry in fs::read_dir(directory).map_err(|source| io_error(directory, source))? {
        let entry = entry.map_err(|source| io_error(directory, source))?;
        let path = entry.path();
        let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
        if is_hidden && selection.dot_files == DotFiles::Ignore {
            continue;
        }
        let kind = entry.file_type().map_err(|source| io_error(&path, source))?;
        if kind.is_dir() {
            walk(&path, selection, depth, found)?;
        } else if selection.extensions.include(&path) && (kind.is_file() || path.is_file()) {
            // Neither directories behind links nor pipes and devices: reading those may never end.
            found.push(path);
        }
        if found.len() > FILES_MAX {
            return Err(too_much(directory, format!("{FILES_MAX} files")));
        }
    }
    Ok(())
}

impl Extensions {
    fn include(self, path: &Path) -> bool {
        let extension = path.extension().map(std::ffi::OsStr::to_ascii_lowercase);
        self == Self::All
            || extension.is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|own| extension == *own))
    }
}

fn read_file(path: &Path) -> Result<Option<Arc<[u8]>>, SourceError> {
    match read_bounded(path) {
        Ok(bytes) if u64::try_from(bytes.len()).is_ok_and(|len| len <= FILE_BYTES_MAX) => Ok(Some(bytes.into())),
        Ok(_) => Err(too_much(path, format!("{} MiB", FILE_BYTES_MAX / 1024 / 1024))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_error(path, error)),
    }
}

/// At most one byte more than a file may hold, whatever its metadata say and however fast it grows.
fn read_bounded(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(path)?
        .take(FILE_BYTES_MAX.saturating_add(1))
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn name_of(path: &Path, root: &Path) -> String {
    match path.strip_prefix(root) {
        Ok(below) if !below.as_os_str().is_empty() => below.to_string_lossy().replace('/', "."),
        // The root is the file itself.
        Ok(_) | Err(_) => path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned(),
    }
}

fn io_error(path: &Path, source: io::Error) -> SourceError {
    SourceError::Io {
        path: path.to_owned(),
        source,
    }
}

fn too_much(path: &Path, bound: String) -> SourceError {
    SourceError::TooMuch {
        path: path.to_owned(),
        bound,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    const EVERYTHING: Selection = Selection {
        dot_files: DotFiles::Read,
        extensions: Extensions::All,
    };
    const DOCUMENTS: Selection = Selection {
        dot_files: DotFiles::Ignore,
        extensions: Extensions::Documents,
    };

    fn names(root: &Path, selection: Selection) -> Vec<String> {
        read(root, selection)
            .unwrap()
            .into_iter()
            .map(|file| file.name)
            .collect()
    }

    #[test]
    fn names_files_by_their_way_from_the_root() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("config")).unwrap();
        for file in ["b.yaml", "config/a.yaml", "notes.txt", ".hidden.yaml", "old.yaml~"] {
            fs::write(root.path().join(file), "x").unwrap();
        }
        assert_eq!(names(root.path(), DOCUMENTS), ["b.yaml", "config.a.yaml"]);
        let all = [".hidden.yaml", "b.yaml", "config.a.yaml", "notes.txt", "old.yaml~"];
        assert_eq!(names(root.path(), EVERYTHING), all);
        assert_eq!(names(&root.path().join("notes.txt"), DOCUMENTS), ["notes.txt"]);
    }

    #[test]
    fn a_mounted_config_map_shows_each_file_once() {
        let root = tempfile::tempdir().unwrap();
        let real = root.path().join("..2026_01");
        fs::create_dir(&real).unwrap();
        fs::write(real.join("basic.yaml"), "domain: a").unwrap();
        symlink("..2026_01", root.path().join("..data")).unwrap();
        symlink("..data/basic.yaml", root.path().join("basic.yaml")).unwrap();
        assert_eq!(names(root.path(), DOCUMENTS), ["basic.yaml"]);
    }

    #[test]
    fn a_link_to_nowhere_is_left_out_and_a_missing_root_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        symlink("user@host.1234", root.path().join("lock.yaml")).unwrap();
        assert_eq!(names(root.path(), DOCUMENTS), Vec::<String>::new());
        let missing = read(&root.path().join("absent"), DOCUMENTS).unwrap_err();
        assert!(missing.to_string().contains("absent"), "{missing}");
    }

    #[test]
    fn neither_pipes_nor_devices_are_read() {
        let root = tempfile::tempdir().unwrap();
        nix::unistd::mkfifo(&root.path().join("pipe.yaml"), nix::sys::stat::Mode::S_IRUSR).unwrap();
        symlink("/dev/zero", root.path().join("zero.yaml")).unwrap();
        fs::write(root.path().join("a.yaml"), "x").unwrap();
        assert_eq!(names(root.path(), DOCUMENTS), ["a.yaml"]);
    }

    #[test]
    fn a_file_beyond_its_bound_is_an_error() {
        let root = tempfile::tempdir().unwrap();
        let file = fs::File::create(root.path().join("a.yaml")).unwrap();
        file.set_len(FILE_BYTES_MAX).unwrap();
        assert_eq!(names(root.path(), DOCUMENTS), ["a.yaml"]);
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        let error = read(root.path(), DOCUMENTS).unwrap_err();
        assert!(matches!(error, SourceError::TooMuch { .. }), "{error}");
    }

    #[test]
    fn a_loop_of_links_ends() {
        let root = tempfile::tempdir().unwrap();
        symlink(".", root.path().join("loop")).unwrap();
        fs::write(root.path().join("a.yaml"), "x").unwrap();
        assert_eq!(names(root.path(), EVERYTHING), ["a.yaml"]);
    }
}
