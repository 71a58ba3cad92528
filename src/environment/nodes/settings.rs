//! What a scenario may set on a broker: anything but what keeps the broker on loopback and inside the run folder, and
//! what would load code. The list is the scenario's; here it is asked again, whoever made the configuration.

use crate::environment::EnvironmentError;
use crate::scenario::{SystemConfig, is_not_for_broker};

/// Refuses a `broker:` map that cannot be written to the broker's configuration as it stands.
pub fn check(config: &SystemConfig) -> Result<(), EnvironmentError> {
    // Checked in the scenario; here it only must not smuggle in anything.
    let number = |value: &str| !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    if let Some((key, _)) = config.sentinel.iter().find(|(key, value)| !plain_name(key) || !number(value)) {
        return Err(EnvironmentError::Refused(format!("sentinel: `{}` is a number", key.escape_debug())));
    }
    for (key, value) in &config.broker {
        let refused = |why: &str| {
            Err(EnvironmentError::Refused(format!(
                "broker: `{key}: {}` of {}: {why}",
                value.escape_debug(),
                config.system
            )))
        };
        if !plain_name(key) {
            return refused("a setting's name is made of a-z, 0-9, `.`, `_` and `-`");
        }
        if value.chars().any(char::is_control) {
            return refused("a value is one line without control characters");
        }
        if is_not_for_broker(config.system.software(), key) {
            return refused("this is set by the environment and cannot be changed; remove it");
        }
    }
    Ok(())
}

fn plain_name(key: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    !key.is_empty() && key.bytes().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::System;

    #[test]
    fn nothing_is_smuggled_in_beside_the_sentinels_settings() {
        let with = |key: &str, value: &str| {
            let mut config = SystemConfig { nodes: 3, ..SystemConfig::defaults(System::RedisLists) };
            config.sentinel.insert(key.into(), value.into());
            check(&config)
        };
        assert!(with("down-after-milliseconds", "1000").is_ok());
        assert!(with("quorum", "2\nport 1").is_err() && with("a b", "1").is_err() && with("quorum", "").is_err());
    }

    fn with(system: System, key: &str, value: &str) -> Result<(), EnvironmentError> {
        let mut config = SystemConfig::defaults(system);
        config.broker.insert(key.into(), value.into());
        check(&config)
    }

    #[test]
    fn ordinary_settings_pass() {
        assert!(with(System::Kafka, "log.flush.interval.messages", "1").is_ok());
        assert!(with(System::RedisStreams, "client-output-buffer-limit", "pubsub 0 0 0").is_ok());
        assert!(with(System::RedisStreams, "save", "").is_ok());
    }

    #[test]
    fn nothing_smuggles_in_a_second_setting_or_leaves_loopback() {
        for (system, key, value) in [
            (System::Kafka, "num.io.threads", "8\nlisteners=PLAINTEXT://0.0.0.0:9092"),
            (System::Kafka, "a=b", "c"),
            (System::Kafka, "", "c"),
            (System::Kafka, "listeners", "PLAINTEXT://0.0.0.0:9092"),
            (System::Kafka, "opts", "-agentlib:jdwp=transport=dt_socket,server=y,address=*:5005"),
            (System::Kafka, "metric.reporters", "x.Y"),
            (System::RedisLists, "bind", "0.0.0.0"),
            (System::RedisLists, "rename-command", "GET X"),
            (System::RedisLists, "dir", "/"),
            (System::RedisLists, "save \"\"", "x"),
        ] {
            let error = with(system, key, value).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains('\n'), "{error}");
        }
    }
}
