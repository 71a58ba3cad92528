//! The JSON Schema of scenario files, for editors.
//!
//! Draft 7, because yaml-language-server knows no later one. `schema/scenario.json` is this text; a test compares.

use super::file::File;
use schemars::generate::SchemaSettings;

/// The schema as it stands in `schema/scenario.json`.
pub fn schema() -> String {
    let schema = SchemaSettings::draft07().into_generator().into_root_schema_for::<File>();
    let mut text = serde_json::to_string_pretty(&schema).unwrap_or_default();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    /// After a change of the format: `UPDATE_SCHEMA=1 cargo test --lib scenario::schema`.
    #[test]
    fn the_committed_schema_is_up_to_date() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/schema/scenario.json");
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(path, super::schema()).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap_or_default(), super::schema());
    }

    #[test]
    fn editors_refuse_unknown_keys_and_know_every_figure() {
        let schema: serde_json::Value = serde_json::from_str(&super::schema()).unwrap();
        assert_eq!(schema["$schema"], "http://json-schema.org/draft-07/schema#");
        assert_eq!(schema["additionalProperties"], false);
        assert!(schema["properties"]["matrix"].is_object() && schema["properties"]["cross-class"].is_object());
        let figures = schema["properties"]["primary"]["anyOf"][0]["enum"].as_array().unwrap();
        assert!(figures.contains(&"end_to_end.p99".into()));
    }
}
