use http::{HeaderValue, Method, Request, Response, header};
use serde_json::json;
use shared_events::contract::Reason;
use tonic::body::Body;

use super::{of_reason, title};

/// Where the pages are.
pub(crate) const PATH: &str = "/v1/problems/";

/// The page about a reason: HTML for browsers, otherwise JSON. None if there is no such reason.
pub(crate) fn answer<B>(code: &str, request: &Request<B>) -> Option<Response<Body>> {
    let reason = Reason::of(code).filter(|_| request.method() == Method::GET)?;
    let accept = request.headers().get(header::ACCEPT).and_then(|value| value.to_str().ok());
    let (kind, text) = if accept.is_some_and(|accept| accept.contains("text/html")) {
        ("text/html; charset=utf-8", html(reason))
    } else {
        let page = json!({
            "code": reason.code(),
            "title": title(reason.code()),
            "status": of_reason(reason).as_u16(),
            "meaning": reason.meaning(),
            "remedy": reason.remedy(),
        });
        ("application/json", page.to_string())
    };
    let mut answer = Response::new(Body::new(http_body_util::Full::from(text)));
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    let policy = "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'";
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Some(answer)
}

fn html(reason: Reason) -> String {
    let (code, title, status) = (reason.code(), title(reason.code()), of_reason(reason));
    let (meaning, remedy) = (prose(reason.meaning()), prose(reason.remedy()));
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{code}</title>\n\
         <style>body {{ font: 1rem/1.5 system-ui; max-width: 40rem; margin: 3rem auto; \
         padding: 0 1rem; color-scheme: light dark }}</style>\n\
         <h1>{title}</h1>\n<p><code>{code}</code>, {status}</p>\n\
         <h2>What happened</h2>\n<p>{meaning}</p>\n<h2>What to do</h2>\n<p>{remedy}</p>\n</html>\n"
    )
}

/// Words of the table: code in backquotes, links as in Markdown, of which the words remain.
fn prose(words: &str) -> String {
    let escaped = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let mut html = String::new();
    for (nth, part) in escaped.split('`').enumerate() {
        match nth % 2 {
            0 => html.push_str(&without_links(part)),
            _ => html.push_str(&format!("<code>{part}</code>")),
        }
    }
    html
}

fn without_links(text: &str) -> String {
    let (mut plain, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('[') {
        let link =
            after.split_once("](").and_then(|(words, end)| Some((words, end.split_once(')')?)));
        let Some((words, (_, behind))) = link else { break };
        plain.push_str(before);
        plain.push_str(words);
        rest = behind;
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_table_become_html() {
        let text = "Set `a<b` as in [limits.md](limits.md) [x].";
        assert_eq!(prose(text), "Set <code>a&lt;b</code> as in limits.md [x].");
    }
}
