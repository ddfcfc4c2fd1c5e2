//! Turns the pages' scripts and styles into assets that the binary carries.
//!
//! Two steps. First a folder of files with hashed names: `npm ci` and esbuild, run on a copy in
//! `OUT_DIR` so that the source tree stays clean, or the folder named by `GHOSTLIGHT_WEB_DIST`
//! for builds without Node or network. Then a Rust table of that folder, each file as it is and
//! gzipped, which `web::assets` includes.

use std::error::Error;
use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use flate2::{Compression, GzBuilder};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// Where this file and the web sources lie, from the package's root.
const SOURCES: &str = "src/web";
/// Names this file to whoever has no Node, or wants to build without network.
const DIST_VARIABLE: &str = "GHOSTLIGHT_WEB_DIST";
const NODE_MAJOR_MIN: u32 = 20;
/// What esbuild starts from; everything else is reached by imports.
const ENTRIES: [&str; 5] = [
    "scripts/watch.ts",
    "scripts/page.ts",
    "styles/ghostlight.css",
    "styles/favicon.svg",
    "notices.txt",
];
/// Packages whose code ends up in the bundle and whose licences must travel with it.
const BUNDLED: [&str; 3] = ["hls.js", "eventemitter3", "url-toolkit"];

fn main() {
    if let Err(error) = run() {
        // One line: Cargo prints it as an error and ends the build.
        println!("cargo::error={}", error.to_string().trim().replace('\n', " | "));
    }
}

fn run() -> Result<()> {
    for name in ["build.rs", "package.json", "package-lock.json", ".npmrc", "scripts", "styles"] {
        println!("cargo::rerun-if-changed={SOURCES}/{name}");
    }
    println!("cargo::rustc-env=GHOSTLIGHT_BUILD_UNIX={}", build_time()?);
    let out = PathBuf::from(variable("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let dist = match variable(DIST_VARIABLE) {
        Some(folder) => PathBuf::from(folder),
        None => bundle(Path::new(SOURCES), &out.join("web"))?,
    };
    write_table(&dist, &out)
}

/// The build time in seconds since 1970, which a sane clock can never be before.
/// It is fixed whenever this program runs, so it alone never causes another run.
fn build_time() -> Result<u64> {
    if let Some(text) = variable("SOURCE_DATE_EPOCH") {
        return Ok(text.parse().map_err(|_| "SOURCE_DATE_EPOCH is not a number of seconds")?);
    }
    #[expect(clippy::disallowed_methods, reason = "a build has no clock but the machine's")]
    let now = SystemTime::now();
    Ok(now.duration_since(UNIX_EPOCH)?.as_secs())
}

#[expect(clippy::disallowed_methods, reason = "cargo speaks to build scripts by environment")]
fn variable(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

/// Makes `work/dist` from the sources and answers its path.
fn bundle(sources: &Path, work: &Path) -> Result<PathBuf> {
    check_node()?;
    fs::create_dir_all(work)?;
    install(sources, work)?;
    for folder in ["scripts", "styles"] {
        copy_folder(&sources.join(folder), &work.join(folder))?;
    }
    fs::write(work.join("notices.txt"), notices(&work.join("node_modules"))?)?;
    let dist = work.join("dist");
    remove_folder(&dist)?;
    run_tool(
        Command::new("node")
            .current_dir(work)
            .arg("node_modules/esbuild/bin/esbuild")
            .args(ENTRIES)
            .args(["--bundle", "--minify", "--format=esm", "--target=es2022,safari15"])
            .args(["--outdir=dist", "--entry-names=[name]-[hash]", "--asset-names=[name]-[hash]"])
            .args(["--loader:.svg=copy", "--loader:.txt=copy"])
            .args(["--legal-comments=none", "--log-level=warning"]),
    )?;
    Ok(dist)
}

fn check_node() -> Result<()> {
    let help = format!(
        "the pages are bundled with Node >= {NODE_MAJOR_MIN} and npm; install them, or set \
         {DIST_VARIABLE} to a folder bundled elsewhere"
    );
    let version = Command::new("node").arg("--version").output();
    let version = version.map_err(|error| format!("cannot run node ({error}); {help}"))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    if major.is_none_or(|major: u32| major < NODE_MAJOR_MIN) {
        return Err(format!("node is {version:?}; {help}").into());
    }
    Ok(())
}

/// Installs what the lock file names, unless the last run did so already.
fn install(sources: &Path, work: &Path) -> Result<()> {
    let mut wanted = Vec::new();
    for name in ["package.json", "package-lock.json", ".npmrc"] {
        let text = fs::read(sources.join(name))?;
        fs::write(work.join(name), &text)?;
        wanted.extend(text);
    }
    let stamp = work.join("installed");
    if fs::read(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(());
    }
    // A cache of our own: the home folder may be missing or read-only. It is used once.
    let cache = work.join("npm-cache");
    let npm = if cfg!(windows) { "npm.cmd" } else { "npm" };
    let installed = run_tool(
        Command::new(npm)
            .current_dir(work)
            .args(["ci", "--ignore-scripts", "--omit=dev", "--no-audit", "--no-fund"])
            .args(["--no-update-notifier", "--loglevel=error"])
            .arg("--cache")
            .arg(work.canonicalize()?.join("npm-cache")),
    );
    remove_folder(&cache)?;
    installed.map_err(|error| {
        format!("{error}; without network, set {DIST_VARIABLE} to a folder bundled elsewhere")
    })?;
    fs::write(stamp, wanted)?;
    Ok(())
}

/// Runs a program to its end; an error carries the beginning of what it wrote.
fn run_tool(command: &mut Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("cannot run {program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let text = String::from_utf8_lossy(&output.stderr);
    let reason = text.lines().filter(|line| !line.is_empty()).take(4).collect::<Vec<_>>();
    Err(format!("{program} failed while bundling the pages: {}", reason.join(" | ")).into())
}

/// The licences of what is bundled, served beside it.
fn notices(modules: &Path) -> Result<String> {
    let mut text = String::from("The player of these pages contains the following software.\n");
    for package in BUNDLED {
        let licence = fs::read_to_string(modules.join(package).join("LICENSE"))
            .map_err(|error| format!("the licence of {package} is missing: {error}"))?;
        write!(text, "\n---- {package} ----\n\n{}\n", licence.trim())?;
    }
    Ok(text)
}

/// Writes `assets.rs`: for each file of `dist` its address as a constant, and the table of all.
fn write_table(dist: &Path, out: &Path) -> Result<()> {
    let packed = out.join("packed");
    remove_folder(&packed)?;
    fs::create_dir_all(&packed)?;
    let mut addresses = String::new();
    let mut table = String::new();
    let mut list = |path: &str, name: &str, kind: &str, immutable: bool| {
        let (plain, gzip) = (packed.join(name), packed.join(format!("{name}.gz")));
        writeln!(
            table,
            "    Asset {{ path: {path:?}, content_type: {kind:?}, etag: {:?}, \
             immutable: {immutable}, plain: include_bytes!({plain:?}), \
             gzip: include_bytes!({gzip:?}) }},",
            format!("\"{name}\"")
        )
    };
    for name in file_names(dist)? {
        let (Some(kind), Some(constant)) = (content_type(&name), constant_name(&name)) else {
            return Err(format!("{name:?} in {} is no asset of the pages", dist.display()).into());
        };
        let plain = fs::read(dist.join(&name))?;
        fs::write(packed.join(&name), &plain)?;
        let gzip = fs::File::create(packed.join(format!("{name}.gz")))?;
        let mut encoder = GzBuilder::new().write(gzip, Compression::best());
        encoder.write_all(&plain)?;
        encoder.finish()?;
        let address = format!("/assets/{name}");
        writeln!(addresses, "pub(in crate::web) const {constant}: &str = {address:?};")?;
        list(&address, &name, kind, true)?;
        if constant == "FAVICON_SVG" {
            // Browsers ask for this name when they show something that is no page.
            list("/favicon.ico", &name, kind, false)?;
        }
    }
    let text = format!("{addresses}\nstatic ASSETS: &[Asset] = &[\n{table}];\n");
    fs::write(out.join("assets.rs"), text)?;
    Ok(())
}

/// The names of a folder's files in a fixed order.
fn file_names(folder: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    let listing = fs::read_dir(folder)
        .map_err(|error| format!("{DIST_VARIABLE}: cannot read {}: {error}", folder.display()))?;
    for entry in listing {
        names.push(entry?.file_name().into_string().map_err(|_| "an asset's name is not text")?);
    }
    names.sort();
    Ok(names)
}

/// `PAGE_JS` of `page-TSMJ6FYU.js`; `None` where no hash is in the name.
fn constant_name(name: &str) -> Option<String> {
    let (rest, extension) = name.rsplit_once('.')?;
    let (stem, _hash) = rest.rsplit_once('-')?;
    let letters = format!("{stem}_{extension}").to_ascii_uppercase();
    Some(letters.replace(|c: char| !c.is_ascii_alphanumeric(), "_"))
}

/// `None` for files that are no part of the pages.
fn content_type(name: &str) -> Option<&'static str> {
    match Path::new(name).extension().and_then(OsStr::to_str)? {
        "js" => Some("text/javascript; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "txt" => Some("text/plain; charset=utf-8"),
        _ => None,
    }
}

/// A fresh copy of a flat folder, without what an earlier copy left behind.
fn copy_folder(from: &Path, to: &Path) -> Result<()> {
    remove_folder(to)?;
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn remove_folder(path: &Path) -> Result<()> {
    if path.exists() {
        fs::remove_dir_all(path)?;
    }
    Ok(())
}
