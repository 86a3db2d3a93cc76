//! Which sink the statistics go to, from what the environment asks. Pure; the settings call it once at start.
//!
//! envoyproxy/ratelimit sends statsd unless told otherwise, so that Prometheus needs two variables. Here Prometheus is
//! what an unset environment gives, and statsd is used when something asks for it.

/// What the environment says. `None` is a variable that is not set.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Asked {
    /// `DISABLE_STATS`.
    pub disable_stats: bool,
    /// `USE_DOG_STATSD`.
    pub use_dog_statsd: Option<bool>,
    /// `USE_STATSD`.
    pub use_statsd: Option<bool>,
    /// `USE_PROMETHEUS`.
    pub use_prometheus: Option<bool>,
    /// Whether `STATSD_HOST`, `STATSD_PORT` or `STATSD_PROTOCOL` is set.
    pub statsd_target_is_set: bool,
}

/// Where statistics go. One at a time.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum SinkChoice {
    /// Nowhere; no statistic is kept.
    Disabled,
    /// To a `DogStatsD` agent.
    DogStatsd,
    /// To a statsd server.
    Statsd,
    /// Nowhere: they wait to be scraped.
    Prometheus,
    /// To the log, at level info.
    Log,
}

/// More than one sink is asked for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error(
    "Error: unable to use more than one stats sink at the same time. \
     Set one of USE_DOG_STATSD, USE_STATSD, USE_PROMETHEUS."
)]
pub struct TooManySinks;

/// Chooses the sink.
///
/// # Errors
/// When more than one of the three `USE_` variables is true, unless statistics are disabled.
pub fn choose(asked: Asked) -> Result<SinkChoice, TooManySinks> {
    if asked.disable_stats {
        return Ok(SinkChoice::Disabled);
    }
    let candidates = [
        (asked.use_dog_statsd, SinkChoice::DogStatsd),
        (asked.use_statsd, SinkChoice::Statsd),
        (asked.use_prometheus, SinkChoice::Prometheus),
    ];
    let mut wanted = candidates.into_iter().filter(|(flag, _)| *flag == Some(true));
    match (wanted.next(), wanted.next()) {
        (Some(_), Some(_)) => Err(TooManySinks),
        (Some((_, only)), None) => Ok(only),
        (None, _) => Ok(unasked(asked)),
    }
}

/// No `USE_` variable is true.
fn unasked(asked: Asked) -> SinkChoice {
    if asked.statsd_target_is_set && asked.use_statsd.is_none() {
        return SinkChoice::Statsd;
    }
    match asked.use_prometheus {
        None | Some(true) => SinkChoice::Prometheus,
        Some(false) => SinkChoice::Log,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Asked = Asked {
        disable_stats: false,
        use_dog_statsd: None,
        use_statsd: None,
        use_prometheus: None,
        statsd_target_is_set: false,
    };

    #[track_caller]
    fn check(asked: Asked, expected: SinkChoice) {
        assert_eq!(choose(asked), Ok(expected));
    }

    #[test]
    fn prometheus_unless_something_else_is_asked_for() {
        check(NOTHING, SinkChoice::Prometheus);
        check(
            Asked {
                use_statsd: Some(false),
                ..NOTHING
            },
            SinkChoice::Prometheus,
        );
        check(
            Asked {
                use_dog_statsd: Some(false),
                ..NOTHING
            },
            SinkChoice::Prometheus,
        );
        check(
            Asked {
                use_prometheus: Some(true),
                statsd_target_is_set: true,
                ..NOTHING
            },
            SinkChoice::Prometheus,
        );
    }

    #[test]
    fn statsd_when_it_or_its_target_is_named() {
        check(
            Asked {
                use_statsd: Some(true),
                ..NOTHING
            },
            SinkChoice::Statsd,
        );
        check(
            Asked {
                statsd_target_is_set: true,
                ..NOTHING
            },
            SinkChoice::Statsd,
        );
        check(
            Asked {
                statsd_target_is_set: true,
                use_prometheus: Some(false),
                ..NOTHING
            },
            SinkChoice::Statsd,
        );
        check(
            Asked {
                statsd_target_is_set: true,
                use_statsd: Some(false),
                ..NOTHING
            },
            SinkChoice::Prometheus,
        );
    }

    #[test]
    fn dog_statsd_only_by_name() {
        check(
            Asked {
                use_dog_statsd: Some(true),
                statsd_target_is_set: true,
                ..NOTHING
            },
            SinkChoice::DogStatsd,
        );
        check(
            Asked {
                use_dog_statsd: Some(true),
                use_statsd: Some(false),
                ..NOTHING
            },
            SinkChoice::DogStatsd,
        );
    }

    #[test]
    fn the_log_when_all_is_refused() {
        check(
            Asked {
                use_statsd: Some(false),
                use_prometheus: Some(false),
                ..NOTHING
            },
            SinkChoice::Log,
        );
        check(
            Asked {
                use_prometheus: Some(false),
                ..NOTHING
            },
            SinkChoice::Log,
        );
    }

    #[test]
    fn disabling_wins_over_everything() {
        let asked = Asked {
            disable_stats: true,
            use_statsd: Some(true),
            use_prometheus: Some(true),
            ..NOTHING
        };
        check(asked, SinkChoice::Disabled);
    }

    #[test]
    fn two_sinks_are_refused_in_the_words_of_envoyproxy_ratelimit() {
        let yes = Some(true);
        for asked in [
            Asked {
                use_statsd: yes,
                use_prometheus: yes,
                ..NOTHING
            },
            Asked {
                use_statsd: yes,
                use_dog_statsd: yes,
                ..NOTHING
            },
            Asked {
                use_prometheus: yes,
                use_dog_statsd: yes,
                ..NOTHING
            },
            Asked {
                use_statsd: yes,
                use_prometheus: yes,
                use_dog_statsd: yes,
                ..NOTHING
            },
        ] {
            assert_eq!(
                choose(asked).unwrap_err().to_string(),
                "Error: unable to use more than one stats sink at the same time. \
                 Set one of USE_DOG_STATSD, USE_STATSD, USE_PROMETHEUS."
            );
        }
    }
}
