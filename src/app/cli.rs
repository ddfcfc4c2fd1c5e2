use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::check::CheckArgs;
use super::keys::{ChannelArgs, KeyArgs};
use super::load::LoadArgs;
use super::publish::PublishArgs;
use super::sunset::SunsetArgs;
use crate::config::Sources;

/// The command line. Without a command the server starts.
#[derive(Debug, Parser)]
#[command(
    name = "ghostlight",
    version,
    about = "Live video in over RTMP, out as low-latency HLS, and one declared end",
    args_conflicts_with_subcommands = true
)]
pub(super) struct Cli {
    #[command(subcommand)]
    pub(super) command: Option<Command>,
    #[command(flatten)]
    pub(super) serve: ServeArgs,
    #[command(flatten)]
    pub(super) config: ConfigArgs,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Start the server (as without a command)
    Serve(ServeArgs),
    /// Start the server and loop a small test clip into the channel `demo`; keeps no records
    Demo(ServeArgs),
    /// Publish an FLV file to an RTMP server, or many times at once to load one
    Publish(PublishArgs),
    /// Send a crowd of players to a server and say what they saw
    Load(LoadArgs),
    /// Watch a stream, ours or anybody's, and say which rules of HLS it keeps
    Check(CheckArgs),
    /// Make, list, rotate and revoke stream keys
    Key(KeyArgs),
    /// Make and list channels
    Channel(ChannelArgs),
    /// Say where the service stands and what closes when
    Sunset(SunsetArgs),
}

/// What every command that reads the configuration takes.
#[derive(Clone, Debug, Args)]
pub(super) struct ConfigArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Folder of the database
    #[arg(long, value_name = "DIR", global = true)]
    data: Option<String>,
}

#[derive(Clone, Debug, Args)]
pub(super) struct ServeArgs {
    /// Where viewers reach the server (page, HLS, API)
    #[arg(long, value_name = "ADDR")]
    http: Option<String>,
    /// Where encoders publish
    #[arg(long, value_name = "ADDR")]
    rtmp: Option<String>,
    /// Where encoders publish over TLS, once a certificate is configured
    #[arg(long, value_name = "ADDR")]
    rtmps: Option<String>,
    /// Where metrics are read; keep it on loopback
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
    /// Rehearse: behave as if it were this instant, marked everywhere, remembered nowhere
    #[arg(long, value_name = "INSTANT")]
    pub(super) simulate_at: Option<String>,
    /// Check the configuration and leave
    #[arg(long)]
    pub(super) check: bool,
    /// Print the effective configuration and leave
    #[arg(long)]
    pub(super) print_config: bool,
}

impl ConfigArgs {
    /// The sources this command line names.
    pub(super) fn sources(&self) -> Sources {
        let data = self.data.clone().map(|dir| ("--data", "data.dir", dir));
        Sources::of_process(self.config.clone(), data.into_iter().collect())
    }
}

impl ServeArgs {
    /// `sources` with the settings of these flags.
    pub(super) fn add_to(&self, mut sources: Sources) -> Sources {
        let flags = [
            ("--http", "http.listen", &self.http),
            ("--rtmp", "rtmp.listen", &self.rtmp),
            ("--rtmps", "rtmp.tls_listen", &self.rtmps),
            ("--admin", "admin.listen", &self.admin),
        ];
        for (flag, key, value) in flags {
            sources.flags.extend(value.clone().map(|value| (flag, key, value)));
        }
        sources
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn data_and_config_stand_behind_any_command() {
        for line in [
            "ghostlight --data D --http 1",
            "ghostlight serve --http 1 --data D",
            "ghostlight key add studio --label x --data D",
            "ghostlight channel list --data D",
            "ghostlight sunset --data D --json",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect(line);
            assert_eq!(cli.config.data.as_deref(), Some("D"), "{line}");
        }
    }
}
