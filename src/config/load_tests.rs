use super::*;
use std::io::Write as _;
use std::time::Duration;

fn with_file(text: &str) -> (tempfile::NamedTempFile, Sources) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let sources = Sources { file: Some(file.path().to_owned()), ..Sources::default() };
    (file, sources)
}

fn with_environment(name: &str, value: &str) -> Sources {
    let environment = BTreeMap::from([(name.to_owned(), value.to_owned())]);
    Sources { environment, ..Sources::default() }
}

/// The error's text after the path of the file.
fn file_error(text: &str) -> String {
    let (_file, sources) = with_file(text);
    let message = load(&sources).unwrap_err().to_string();
    let path = sources.file.unwrap().display().to_string();
    message.strip_prefix(&path).unwrap_or(&message).to_owned()
}

#[test]
fn nothing_at_all_gives_the_built_in_values() {
    let config = load(&Sources::default()).unwrap();
    assert_eq!(config.http_listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.rtmp_listen.port(), 1935);
    assert_eq!(config.hls.part_target, Duration::from_millis(250));
}

#[test]
fn a_flag_overrides_the_environment_and_that_the_file() {
    let (_file, mut sources) =
        with_file("[hls]\npart = \"300ms\"\nsegment = \"4s\"\nwindow = '1m'\n");
    sources.environment.insert("GHOSTLIGHT_HLS_PART".into(), "500ms".into());
    sources.environment.insert("GHOSTLIGHT_HLS_SEGMENT".into(), "3s".into());
    sources.flags.push(("--part", "hls.part", "200ms".into()));
    let config = load(&sources).unwrap();
    assert_eq!(config.hls.part_target, Duration::from_millis(200));
    assert_eq!(config.hls.segment_target, Duration::from_secs(3));
    assert_eq!(config.hls.window, Duration::from_secs(60));
}

#[test]
fn a_wrong_value_names_file_line_key_value_and_what_is_allowed() {
    assert_eq!(
        file_error("# mine\n[hls]\npart = \"5 apples\"\n"),
        ":3: hls.part = \"5 apples\" is not allowed; it takes a duration from 100ms to 1s"
    );
    assert_eq!(
        file_error("[hls]\npart = 250\n"),
        ":2: hls.part = \"250\" is not allowed; it takes a duration from 100ms to 1s"
    );
    assert_eq!(
        file_error("[rtmp.listen]\nport = 1\n"),
        ":1: rtmp.listen = \"a table\" is not allowed; it takes an address and port such as \
         \"0.0.0.0:8080\", or a port alone"
    );
}

#[test]
fn an_unknown_key_names_the_nearest() {
    let message = file_error("[hls]\nsegmant = \"2s\"\n");
    assert_eq!(message, ":2: hls.segmant is no setting; did you mean hls.segment?");
    let sources = with_environment("GHOSTLIGHT_SUNSET_PUBLISH_CLOSES_AT", "x");
    assert_eq!(
        load(&sources).unwrap_err().to_string(),
        "environment GHOSTLIGHT_SUNSET_PUBLISH_CLOSES_AT: GHOSTLIGHT_SUNSET_PUBLISH_CLOSES_AT is \
         no setting; did you mean sunset.publish_close_at?"
    );
}

#[test]
fn broken_toml_names_the_line() {
    assert!(
        file_error("[hls]\npart = \n").starts_with(":2: "),
        "{}",
        file_error("[hls]\npart = \n")
    );
}

/// Every key refuses nonsense, takes what it prints, and has its own environment variable.
#[test]
fn every_key_prints_what_it_reads_and_refuses_nonsense() {
    let config = load(&Sources::default()).unwrap();
    let mut names = std::collections::BTreeSet::new();
    for key in keys() {
        assert!(names.insert(key.environment()), "{} is twice", key.path);
        if let Some(shown) = (key.show)(&config) {
            let read = load(&with_environment(&key.environment(), &shown)).expect(key.path);
            assert_eq!((key.show)(&read).as_ref(), Some(&shown), "{}", key.path);
        }
        let free_text = key.path.starts_with("sunset.") || key.allowed.contains("separated");
        if !free_text && !key.allowed.contains("path") {
            let error =
                load(&with_environment(&key.environment(), "five apples")).expect_err(key.path);
            assert!(error.to_string().contains(key.allowed), "{error}");
        }
    }
}

#[test]
fn the_printed_configuration_reads_back_to_itself() {
    let sources = with_environment("GHOSTLIGHT_HLS_WINDOW", "4h");
    let printed = render(&load(&sources).unwrap());
    let (_file, again) = with_file(&printed);
    assert_eq!(render(&load(&again).unwrap()), printed);
}

#[test]
fn half_a_certificate_is_an_error() {
    let message = file_error("[tls]\nkey = \"key.pem\"\n");
    assert!(
        message.ends_with("tls.key is set and tls.certificate is not; both are needed"),
        "{message}"
    );
}
