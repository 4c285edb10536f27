//! `http`: requests to granted hosts. What goes wrong with one is an error value, and ends nothing.

use crate::policy::bindings::postern::policy::http::Host;
use crate::policy::bindings::postern::policy::types::{HttpRequest, HttpResponse};
use crate::policy::guest::Guest;
use crate::policy::limits::Limit;
use std::sync::Arc;
use wasmtime::Result;

impl Host for Guest {
    async fn send(&mut self, request: HttpRequest) -> Result<std::result::Result<HttpResponse, String>> {
        self.budget.call()?;
        let Some(client) = self.call.http.as_ref().map(Arc::clone) else {
            return Ok(Err(super::NOT_GRANTED.to_owned()));
        };
        let observer = self.call.observer.as_ref();
        let is_replay = observer.is_some_and(|observer| observer.replayed().is_some());
        if self.call.run.is_beside() || is_replay {
            return Ok(Err(super::NOT_IN_THIS_MODE.to_owned()));
        }
        if self.requests >= client.requests() {
            Limit::HttpRequests.hit();
            let most = client.requests();
            return Ok(Err(format!(
                "one call sends at most {most} requests (grants.http.requests)"
            )));
        }
        self.requests += 1;
        let answer = client.send(request, self.for_waiting()).await;
        let outcome = match &answer {
            Ok(_) => "answered",
            Err(_) => "failed",
        };
        let plugin = self.call.policy.to_string();
        metrics::counter!("postern_plugin_http_requests_total", "plugin" => plugin, "outcome" => outcome)
            .increment(1);
        if let Ok(answer) = &answer {
            let fields = answer.headers.iter();
            let head: usize = fields.map(|field| field.name.len() + field.value.len()).sum();
            self.budget.read(head + answer.body.len())?;
        }
        Ok(answer)
    }
}
