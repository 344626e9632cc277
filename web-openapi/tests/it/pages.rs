use web_openapi::Pages;

fn pages() -> Pages {
    Pages::new("{}\n")
}

#[test]
fn every_path_has_its_content() {
    let pages = pages();
    let kinds: Vec<(&str, &str)> =
        pages.paths().map(|path| (path, pages.answer(path).unwrap().content_type)).collect();
    assert_eq!(
        kinds,
        [
            ("/v1/openapi.json", "application/json"),
            ("/docs", "text/html; charset=utf-8"),
            ("/docs/start.js", "text/javascript; charset=utf-8"),
            ("/docs/swagger-ui-bundle.js", "text/javascript; charset=utf-8"),
            ("/docs/swagger-ui.css", "text/css; charset=utf-8"),
            ("/docs/favicon-32x32.png", "image/png"),
        ]
    );
    for other in ["/docs/", "/docs/../Cargo.toml", "/docs/oauth2-redirect.html", "/", ""] {
        assert!(pages.answer(other).is_none(), "{other}");
    }
}

#[test]
fn swagger_ui_is_complete_and_unpacked() {
    let pages = pages();
    let text = |path: &str| String::from_utf8(pages.answer(path).unwrap().body.to_vec()).unwrap();
    let script = text("/docs/swagger-ui-bundle.js");
    assert!(script.contains("SwaggerUIBundle") && script.len() > 500_000, "{}", script.len());
    assert!(text("/docs/swagger-ui.css").contains(".swagger-ui"));
    assert!(pages.answer("/docs/favicon-32x32.png").unwrap().body.starts_with(b"\x89PNG"));
}

#[test]
fn the_page_names_nothing_that_is_elsewhere() {
    let pages = pages();
    for path in ["/docs", "/docs/start.js"] {
        let text = String::from_utf8(pages.answer(path).unwrap().body.to_vec()).unwrap();
        assert!(!text.contains("http:") && !text.contains("https:"), "{path}");
    }
    let html = String::from_utf8(pages.answer("/docs").unwrap().body.to_vec()).unwrap();
    for named in html.split(['"']).filter(|part| part.starts_with('/')) {
        assert!(pages.answer(named).is_some(), "{named} is not served");
    }
}

/// An own policy; and a script cannot be chosen by the address of the page.
#[test]
fn every_page_has_a_policy_that_lets_nothing_in_from_elsewhere() {
    let pages = pages();
    for path in pages.paths() {
        let asset = pages.answer(path).unwrap();
        let header = |name: &str| {
            asset.headers.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
        };
        let policy = header("content-security-policy").unwrap();
        assert!(policy.contains("default-src 'none'") && !policy.contains("http"), "{policy}");
        assert!(policy.contains("script-src 'self';"), "{policy}");
        assert_eq!(header("x-content-type-options"), Some("nosniff"));
        assert_eq!(asset.etag.len(), 18, "{}", asset.etag);
    }
    let start = pages.answer("/docs/start.js").unwrap().body.to_vec();
    let start = String::from_utf8(start).unwrap();
    assert!(start.contains("queryConfigEnabled: false") && !start.contains("configUrl"));
}
