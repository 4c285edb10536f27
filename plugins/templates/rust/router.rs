//! example-policy: one address for a team, addresses with a detail behind a plus, and one that is closed.
//!
//! A router says where mail for an address goes: pass (not mine, the next is asked), local, rewrite (ask
//! again for these), relay, discard, reject or defer. The first that does not pass decides.

use exports::postern::policy::{lifecycle, router};
use postern::policy::config;
use postern::policy::types::{Reply, Route};
use serde_json::{Map, Value};

wit_bindgen::generate!({ path: "wit", world: "plugin", generate_all });

struct Policy;
export!(Policy);

fn members() -> Vec<String> {
    let listed = config::get("members").unwrap_or_default();
    listed.split(',').map(|member| member.trim_matches(' ').to_owned()).collect()
}

fn is_address(text: &str) -> bool {
    text.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty())
}

/// Refuses a setting that is not among these, for it may be misspelt, and one that is a list or a map.
fn known(names: &[&str]) -> Result<(), String> {
    let settings: Map<String, Value> = serde_json::from_str(&config::json()).expect("one JSON object");
    for (name, value) in &settings {
        if !names.contains(&name.as_str()) {
            return Err(format!("unknown setting `{name}`: known are {}", names.join(", ")));
        }
        if value.is_array() || value.is_object() {
            return Err(format!("{name} must be one value, not a list or a map"));
        }
    }
    Ok(())
}

impl lifecycle::Guest for Policy {
    /// Asked when the policy is loaded: the error is what the administrator reads.
    fn validate() -> Result<(), String> {
        known(&["team", "members", "closed"])?;
        match members().iter().find(|member| !is_address(member)) {
            Some(wrong) => Err(format!("members: `{wrong}` is no address")),
            None => Ok(()),
        }
    }
}

impl router::Guest for Policy {
    /// The domain of `recipient` is in small letters.
    fn resolve(recipient: String) -> Route {
        if config::get("closed").as_ref() == Some(&recipient) {
            let text = format!("{recipient} is closed");
            return Route::Reject(Reply { code: 550, enhanced: "5.1.1".into(), text });
        }
        if config::get("team").as_ref() == Some(&recipient) {
            return Route::Rewrite(members());
        }
        if let Some((local, domain)) = recipient.rsplit_once('@')
            && let Some((name, _detail)) = local.split_once('+')
            && !name.is_empty()
        {
            return Route::Rewrite(vec![format!("{name}@{domain}")]);
        }
        Route::Pass
    }
}
