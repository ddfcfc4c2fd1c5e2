//! `ghostlight channel` and `ghostlight key`: they work on the data folder while a server runs
//! on it or not; a running server hears of every change within two seconds.

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};

use super::Inputs;
use crate::accounts;
use crate::base::{ChannelId, KeyId, Rival, WallTime};
use crate::gate::{Operation, Verdict};
use crate::store::{self, Created, KeyRecord, Revoked, Store};

/// Longest label, in characters.
const LABEL_MAX: usize = 100;

/// Channels: the places that broadcasts have.
#[derive(Args, Clone, Debug)]
pub struct ChannelArgs {
    #[command(subcommand)]
    command: ChannelCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum ChannelCommand {
    /// Make a channel
    Add {
        /// Its public name: 1 to 64 of A-Z a-z 0-9 _ and -
        channel: String,
    },
    /// List all channels
    List,
}

/// Stream keys: the secrets that publishers have.
#[derive(Args, Clone, Debug)]
pub struct KeyArgs {
    #[command(subcommand)]
    command: KeyCommand,
}

#[derive(Subcommand, Clone, Debug)]
enum KeyCommand {
    /// Make a stream key, and its channel where it is missing; prints the key alone, once
    Add {
        /// The channel it opens
        channel: String,
        /// Words by which you will know it again
        #[arg(long, value_name = "TEXT", default_value = "")]
        label: String,
        /// What becomes of a second publisher while the first is live: takes-over or refused
        #[arg(long, value_name = "WHAT", default_value_t)]
        rival: Rival,
    },
    /// List keys by their public ids; secrets are not kept
    List {
        /// Only the keys of this channel
        channel: Option<String>,
        /// A JSON array instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Change a key; whoever publishes with it now stays
    Set {
        /// The public id of the key
        key: String,
        /// What becomes of a second publisher while the first is live: takes-over or refused
        #[arg(long, value_name = "WHAT")]
        rival: Rival,
    },
    /// Make a new key for the channel of an old one; the old one works until it is revoked
    Rotate {
        /// The public id of the old key
        key: String,
        /// Revoke the old key in the same moment
        #[arg(long)]
        now: bool,
    },
    /// End a key; a broadcast that uses it ends within two seconds
    Revoke {
        /// The public id of the key
        key: String,
    },
}

/// Runs `ghostlight channel …`.
pub async fn run_channel(args: &ChannelArgs, inputs: &Inputs) -> anyhow::Result<ExitCode> {
    let command = Command::open(inputs).await?;
    match &args.command {
        ChannelCommand::Add { channel } => command.add_channel(channel).await?,
        ChannelCommand::List => {
            print(&channel_table(&command.store.channels().await?))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Runs `ghostlight key …`.
pub async fn run_key(args: &KeyArgs, inputs: &Inputs) -> anyhow::Result<ExitCode> {
    let command = Command::open(inputs).await?;
    match &args.command {
        KeyCommand::Add { channel, label, rival } => {
            print(&command.add_key(channel, label, *rival).await?)?;
        }
        KeyCommand::List { channel, json } => {
            let keys = command.list_keys(channel.as_deref()).await?;
            print(&if *json { key_json(&keys) } else { key_table(&keys) })?;
        }
        KeyCommand::Set { key, rival } => command.set_key(key, *rival).await?,
        KeyCommand::Rotate { key, now } => {
            let old = if *now { OldKey::Ends } else { OldKey::Stays };
            print(&command.rotate_key(key, old).await?)?;
        }
        KeyCommand::Revoke { key } => command.revoke_key(key).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What becomes of a rotated key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum OldKey {
    Stays,
    Ends,
}

struct Command<'a> {
    inputs: &'a Inputs,
    store: std::sync::Arc<dyn Store>,
    now: WallTime,
}

impl<'a> Command<'a> {
    async fn open(inputs: &'a Inputs) -> anyhow::Result<Self> {
        let store = store::open(&inputs.data).await?;
        Ok(Self { inputs, store, now: inputs.clock.now().wall })
    }

    /// The gate's word on what this command is about to do.
    async fn admit(&self, operation: Operation) -> anyhow::Result<()> {
        let Inputs { schedule, built, .. } = self.inputs;
        let policy = accounts::recorded_policy(&*self.store, schedule.clone(), *built).await?;
        match accounts::ask(&*self.store, &policy, operation, self.now).await? {
            Verdict::Allow { .. } => Ok(()),
            Verdict::Refuse(refusal) => bail!(refusal),
        }
    }

    async fn add_channel(&self, name: &str) -> anyhow::Result<()> {
        let channel = ChannelId::parse(name)?;
        self.admit(Operation::CreateChannel).await?;
        match self.store.create_channel(&channel, self.now).await? {
            Created::New => explain(&format!("channel {channel} made")),
            Created::Existing => explain(&format!("channel {channel} exists already")),
        }
    }

    async fn add_key(&self, channel: &str, label: &str, rival: Rival) -> anyhow::Result<String> {
        let channel = ChannelId::parse(channel)?;
        check_label(label)?;
        self.admit(Operation::CreateKey).await?;
        self.issue(&channel, label, rival, None).await
    }

    async fn rotate_key(&self, id: &str, old: OldKey) -> anyhow::Result<String> {
        let key = self.find(id).await?;
        if key.revoked_at.is_some() {
            bail!("key {id} is revoked; make another with: ghostlight key add {}", key.channel);
        }
        self.admit(Operation::RotateKey).await?;
        let instead_of = (old == OldKey::Ends).then_some(&key.id);
        let text = self.issue(&key.channel, &key.label, key.rival, instead_of).await?;
        match old {
            OldKey::Stays => {
                explain(&format!("key {id} still works; end it with: ghostlight key revoke {id}"))?;
            }
            OldKey::Ends => explain(&format!("key {id} revoked"))?,
        }
        Ok(text)
    }

    /// The key's text with a line end.
    async fn issue(
        &self,
        channel: &ChannelId,
        label: &str,
        rival: Rival,
        instead_of: Option<&KeyId>,
    ) -> anyhow::Result<String> {
        let issued =
            accounts::issue_key(&*self.store, channel, label, rival, instead_of, self.now).await?;
        explain(&format!(
            "key {} for channel {channel}; it is shown this once and kept nowhere:",
            issued.id
        ))?;
        Ok(format!("{}\n", issued.text.reveal()))
    }

    async fn list_keys(&self, channel: Option<&str>) -> anyhow::Result<Vec<KeyRecord>> {
        let wanted = channel.map(ChannelId::parse).transpose()?;
        let mut keys = self.store.keys().await?;
        keys.retain(|key| wanted.as_ref().is_none_or(|wanted| key.channel == *wanted));
        Ok(keys)
    }

    async fn set_key(&self, id: &str, rival: Rival) -> anyhow::Result<()> {
        self.admit(Operation::RotateKey).await?;
        if !self.store.set_rival(&KeyId::new(id), rival).await? {
            bail!("no key {id}; see: ghostlight key list");
        }
        explain(&format!("key {id}: a second publisher {rival}"))
    }

    async fn revoke_key(&self, id: &str) -> anyhow::Result<()> {
        self.admit(Operation::RevokeKey).await?;
        match self.store.revoke_key(&KeyId::new(id), self.now).await? {
            Revoked::Now => explain(&format!("key {id} revoked")),
            Revoked::Before => explain(&format!("key {id} was revoked before")),
            Revoked::Unknown => bail!("no key {id}; see: ghostlight key list"),
        }
    }

    async fn find(&self, id: &str) -> anyhow::Result<KeyRecord> {
        let keys = self.store.keys().await?;
        let found = keys.into_iter().find(|key| key.id.as_str() == id);
        found.with_context(|| format!("no key {id}; see: ghostlight key list"))
    }
}

fn check_label(label: &str) -> anyhow::Result<()> {
    if LABEL_MAX < label.chars().count() || label.chars().any(char::is_control) {
        bail!("a label has at most {LABEL_MAX} characters and no control characters");
    }
    Ok(())
}

fn channel_table(channels: &[store::ChannelRecord]) -> String {
    let rows = channels.iter().map(|c| [c.id.to_string(), c.created_at.to_string()]);
    table(["CHANNEL", "CREATED"], rows)
}

fn key_table(keys: &[KeyRecord]) -> String {
    let shown = |at: Option<WallTime>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let rows = keys.iter().map(|key| {
        [
            key.id.to_string(),
            key.channel.to_string(),
            key.created_at.to_string(),
            shown(key.last_used_at),
            shown(key.revoked_at),
            key.rival.to_string(),
            key.label.clone(),
        ]
    });
    table(["KEY", "CHANNEL", "CREATED", "LAST USED", "REVOKED", "RIVAL", "LABEL"], rows)
}

/// The same as an array, with `null` for what has not happened.
fn key_json(keys: &[KeyRecord]) -> String {
    let shown = |at: Option<WallTime>| at.map(|at| at.to_string());
    let rows = keys.iter().map(|key| {
        serde_json::json!({
            "key": key.id.as_str(),
            "channel": key.channel.to_string(),
            "created": key.created_at.to_string(),
            "last_used": shown(key.last_used_at),
            "revoked": shown(key.revoked_at),
            "rival": key.rival.as_str(),
            "label": key.label,
        })
    });
    format!("{:#}\n", rows.collect::<serde_json::Value>())
}

/// Columns as wide as their widest cell, two blanks apart, nothing after the last.
pub(super) fn table<const N: usize>(
    heads: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let lines: Vec<[String; N]> = std::iter::once(heads.map(str::to_owned)).chain(rows).collect();
    let mut widths = [0; N];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.chars().count().max(*width);
        }
    }
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// The answer, on standard output.
pub(super) fn print(text: &str) -> anyhow::Result<()> {
    io::stdout().write_all(text.as_bytes()).context("standard output")
}

/// Everything a script must not read, on standard error.
fn explain(text: &str) -> anyhow::Result<()> {
    writeln!(io::stderr(), "{text}").context("standard error")
}

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
