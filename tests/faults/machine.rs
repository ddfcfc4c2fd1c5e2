//! What only root may ask of a machine: networks of its own, quotas, small disks. Everything made
//! here carries the number of this process and goes when its value goes, also when a test fails.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use tempfile::TempDir;

/// Says that a fault was not injected and why. `tests/run` shows the line.
pub(crate) fn waive(id: &str, why: &str) {
    eprintln!("WAIVED {id}: {why}");
}

/// Runs a command; the complaint when it fails.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let (program, rest) = words.split_first().expect("a program");
    let done = Command::new(program).args(rest).output();
    let done = done.map_err(|error| format!("{program}: {error}"))?;
    let complaint = String::from_utf8_lossy(&done.stderr).trim().to_owned();
    if done.status.success() { Ok(()) } else { Err(format!("{}: {complaint}", words.join(" "))) }
}

/// Another machine at the end of a cable.
#[derive(Debug)]
pub(crate) struct Namespace {
    name: String,
    cable: String,
    /// This end of the cable.
    pub(crate) here: Ipv4Addr,
}

impl Namespace {
    /// `number` tells those of one test apart.
    pub(crate) fn new(number: u8) -> Result<Self, String> {
        let pid = process::id();
        let (name, cable) = (format!("gl{pid}n{number}"), format!("gl{pid}v{number}"));
        let net = u8::try_from(pid % 250).expect("below 250");
        let end = |last: u8| Ipv4Addr::new(10, 213, net, number * 4 + last);
        run(&["ip", "netns", "add", &name])?;
        let made = Self { name, cable, here: end(1) };
        let Self { name, cable, .. } = &made;
        let (here, there) = (format!("{}/30", made.here), format!("{}/30", end(2)));
        run(&["ip", "link", "add", cable, "type", "veth", "peer", "name", "eth0", "netns", name])?;
        run(&["ip", "addr", "add", &here, "dev", cable])?;
        run(&["ip", "link", "set", cable, "up"])?;
        run(&["ip", "-n", name, "addr", "add", &there, "dev", "eth0"])?;
        run(&["ip", "-n", name, "link", "set", "eth0", "up"])?;
        Ok(made)
    }

    /// The words that start a command over there.
    pub(crate) fn launcher(&self) -> Vec<String> {
        ["ip", "netns", "exec", &self.name].map(str::to_owned).to_vec()
    }

    /// Pulls the cable at the other end: nothing comes or goes, and nobody is told.
    pub(crate) fn cut(&self) {
        run(&["ip", "-n", &self.name, "link", "set", "eth0", "down"]).expect("a cable");
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        // What was never made cannot be removed.
        let _ = run(&["ip", "link", "del", &self.cable]);
        let _ = run(&["ip", "netns", "del", &self.name]);
    }
}

/// A control group (version 1) that holds one server. Make it before the server, so that it goes
/// after it.
#[derive(Debug)]
pub(crate) struct Quota(PathBuf);

impl Quota {
    /// A group below `controller` with these files written.
    pub(crate) fn new(controller: &str, files: &[(&str, &str)]) -> Result<Self, String> {
        let path =
            Path::new("/sys/fs/cgroup").join(controller).join(format!("gl{}", process::id()));
        let told = |error| format!("{}: {error}", path.display());
        fs::create_dir(&path).map_err(told)?;
        let made = Self(path);
        for (file, text) in files {
            fs::write(made.0.join(file), text).map_err(|error| format!("{file}: {error}"))?;
        }
        Ok(made)
    }

    /// The words that start a command in it.
    pub(crate) fn launcher(&self) -> Vec<String> {
        let script = "echo $$ >\"$0/cgroup.procs\" && exec \"$@\"";
        ["sh", "-c", script, &self.0.display().to_string()].map(str::to_owned).to_vec()
    }

    pub(crate) fn write(&self, file: &str, text: &str) {
        fs::write(self.0.join(file), text).expect(file);
    }

    pub(crate) fn read(&self, file: &str) -> String {
        fs::read_to_string(self.0.join(file)).expect(file)
    }
}

impl Drop for Quota {
    fn drop(&mut self) {
        // A group can be removed once the kernel has noticed that its last process is gone.
        for _ in 0..100 {
            if fs::remove_dir(&self.0).is_ok() {
                return;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
    }
}

/// A disk that is full soon.
#[derive(Debug)]
pub(crate) struct SmallDisk(TempDir);

impl SmallDisk {
    pub(crate) fn new(bytes: u32) -> Result<Self, String> {
        let disk = Self(tempfile::tempdir().expect("a folder"));
        let size = format!("size={bytes}");
        run(&["mount", "-t", "tmpfs", "-o", &size, "tmpfs", &disk.path().display().to_string()])?;
        Ok(disk)
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a server that still writes there does not keep it.
        let _ = run(&["umount", "-l", &self.path().display().to_string()]);
    }
}
