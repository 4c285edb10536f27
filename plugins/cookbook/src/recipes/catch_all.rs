//! router: one mailbox takes all mail of a domain, save for names that are refused and names that have their own.
//! settings: { domain: example.net, to: office@example.net, own: [office, ann], refused: [sales, test] }

use crate::postern::policy::{
    config,
    types::{Reply, Route},
};

pub fn resolve(recipient: String) -> Route {
    let (Some(domain), Some(to)) = (config::get("domain"), config::get("to")) else {
        return Route::Pass;
    };
    let Some((local, _)) = recipient.rsplit_once('@').filter(|(_, of)| *of == domain) else {
        return Route::Pass;
    };
    let listed = |key: &str| {
        let mut names = (0..).map_while(|place| config::get(&format!("{key}.{place}")));
        names.any(|name| name.eq_ignore_ascii_case(local))
    };
    match (listed("own"), listed("refused")) {
        (true, _) => Route::Pass,
        (_, true) => Route::Reject(Reply {
            code: 550,
            enhanced: "5.1.1".into(),
            text: "nobody has this address".into(),
        }),
        _ => Route::Rewrite(vec![to]),
    }
}
