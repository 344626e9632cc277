//! The document and Swagger UI, by their paths.
//!
//! The page has a policy of its own (CSP): it loads nothing from elsewhere and sends nothing
//! elsewhere. It shows one document, whatever its address says: a page that loads the document
//! named in its address has been an entrance for foreign scripts.

use sha2::{Digest as _, Sha256};

/// The path of the document.
const DOCUMENT: &str = "/v1/openapi.json";

const SCRIPT: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui-bundle.js"));
const STYLE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/swagger-ui.css"));
const ICON: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/favicon-32x32.png"));

/// Swagger UI writes styles into its elements; everything else is from here.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
    frame-ancestors 'none'";

/// What is answered for a path.
#[derive(Clone, Debug)]
pub struct Asset {
    /// The value of `Content-Type`.
    pub content_type: &'static str,
    /// The value of `ETag`, with its quotes.
    pub etag: String,
    /// Further headers, by their names in lower case.
    pub headers: &'static [(&'static str, &'static str)],
    /// The body.
    pub body: &'static [u8],
}

const HEADERS: &[(&str, &str)] = &[
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    // Asked again each time, and answered 304: a new version shows its own page at once.
    ("cache-control", "no-cache"),
];

/// The document and the page, ready to be answered.
#[derive(Clone, Debug)]
pub struct Pages(Vec<(&'static str, Asset)>);

impl Pages {
    /// For a document.
    #[must_use]
    pub fn new(document: &'static str) -> Self {
        let html = include_bytes!("../assets/index.html").as_slice();
        let start = include_bytes!("../assets/start.js").as_slice();
        Self(vec![
            (DOCUMENT, asset("application/json", document.as_bytes())),
            ("/docs", asset("text/html; charset=utf-8", html)),
            ("/docs/start.js", asset("text/javascript; charset=utf-8", start)),
            ("/docs/swagger-ui-bundle.js", asset("text/javascript; charset=utf-8", SCRIPT)),
            ("/docs/swagger-ui.css", asset("text/css; charset=utf-8", STYLE)),
            ("/docs/favicon-32x32.png", asset("image/png", ICON)),
        ])
    }

    /// What a path has, if it is one of ours.
    #[must_use]
    pub fn answer(&self, path: &str) -> Option<&Asset> {
        self.0.iter().find(|(known, _)| *known == path).map(|(_, asset)| asset)
    }

    /// Every path that is answered.
    pub fn paths(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(path, _)| *path)
    }
}

fn asset(content_type: &'static str, body: &'static [u8]) -> Asset {
    let digest = Sha256::digest(body);
    // Eight bytes tell two versions of a file apart.
    let short: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Asset { content_type, etag: format!("\"{short}\""), headers: HEADERS, body }
}
