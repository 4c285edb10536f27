//! `config`: the administrator's settings for this policy.

use crate::policy::bindings::postern::policy::config::Host;
use crate::policy::guest::Guest;
use serde_json::Value;
use wasmtime::Result;

impl Host for Guest {
    fn get(&mut self, path: String) -> Result<Option<String>> {
        self.budget.call()?;
        let found = at(&self.call.settings, &path).and_then(text);
        self.budget.read(found.as_ref().map_or(0, String::len))?;
        Ok(found)
    }

    fn json(&mut self) -> Result<String> {
        self.budget.call()?;
        let text = self.call.settings.to_string();
        self.budget.read(text.len())?;
        Ok(text)
    }
}

/// The value at `limits.max-links`, or `names.0` in a list.
fn at<'a>(settings: &'a Value, path: &str) -> Option<&'a Value> {
    path.split('.').try_fold(settings, |value, step| match value {
        Value::Object(fields) => fields.get(step),
        Value::Array(values) => values.get(step.parse::<usize>().ok()?),
        _ => None,
    })
}

/// Text as it is, null as nothing, everything else as JSON.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        value => Some(value.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_found_by_its_path() {
        let settings =
            serde_json::json!({ "limits": { "max": 3 }, "names": ["a", "b"], "off": null, "on": true });
        let found = |path| at(&settings, path).and_then(text);
        assert_eq!(found("limits.max").as_deref(), Some("3"));
        assert_eq!(found("names.1").as_deref(), Some("b"));
        assert_eq!(found("names").as_deref(), Some(r#"["a","b"]"#));
        assert_eq!(found("on").as_deref(), Some("true"));
        for missing in ["off", "names.2", "limits.max.more", "none", ""] {
            assert_eq!(found(missing), None, "{missing}");
        }
    }
}
