//! `ghostlight sunset`: where the service stands on its way to the end, now or at any instant.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::Inputs;
use super::keys::{print, table};
use crate::accounts;
use crate::base::WallTime;
use crate::gate::{DeclaredInstant, Latch, OperationState, Phase, Policy, StatusDocument};
use crate::store;

/// The exit code tells the phase: 0 open, 10 announced, 20 finishing, 30 read-only, 40 gone.
#[derive(Args, Clone, Debug)]
pub struct SunsetArgs {
    /// Answer as if it were this instant, such as 2021-03-31T23:59:59-07:00
    #[arg(long, value_name = "INSTANT", conflicts_with = "reopen")]
    at: Option<String>,
    /// Print the status document
    #[arg(long)]
    json: bool,
    /// Let go of a gate that is held closed although the schedule would open it
    #[arg(long, requires = "reason")]
    reopen: bool,
    /// Why it is reopened; recorded, and shown to everybody
    #[arg(long, value_name = "TEXT", requires = "reopen")]
    reason: Option<String>,
}

/// Runs `ghostlight sunset`.
pub async fn run(args: &SunsetArgs, inputs: &Inputs) -> anyhow::Result<ExitCode> {
    let now = inputs.clock.now().wall;
    if let (true, Some(reason)) = (args.reopen, &args.reason) {
        reopen(inputs, reason, now).await?;
    }
    let (policy, now) = match &args.at {
        Some(text) => {
            let at = DeclaredInstant::parse(text).context("--at")?.at();
            (Policy::rehearsal(recorded(inputs).await?.schedule().cloned()), at)
        }
        None => (recorded(inputs).await?, now),
    };
    let status = policy.status(now);
    print(&if args.json { json(&status)? } else { text(&status) })?;
    Ok(ExitCode::from(code(status.phase)))
}

/// The policy with what the data folder remembers, if there is one; none is made.
async fn recorded(inputs: &Inputs) -> anyhow::Result<Policy> {
    let schedule = inputs.schedule.clone();
    Ok(match store::open_existing(&inputs.data).await? {
        Some(store) => accounts::recorded_policy(&*store, schedule, inputs.built)
            .await?
            .with_history(accounts::history(&*store).await?),
        None => Policy::new(schedule, Latch::default()).built_at(inputs.built),
    })
}

async fn reopen(inputs: &Inputs, reason: &str, now: WallTime) -> anyhow::Result<()> {
    let store = store::open_existing(&inputs.data).await?;
    let store = store.with_context(|| format!("no data in {}", inputs.data.display()))?;
    let policy = accounts::recorded_policy(&*store, inputs.schedule.clone(), inputs.built).await?;
    Ok(accounts::reopen(&*store, &policy, reason, now).await?)
}

fn code(phase: Phase) -> u8 {
    match phase {
        Phase::Open => 0,
        Phase::Announced | Phase::ClaimsClosed => 10,
        Phase::Finishing => 20,
        Phase::ReadOnly | Phase::Settled | Phase::ExportOnly => 30,
        Phase::Gone => 40,
    }
}

fn json(status: &StatusDocument) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(status)? + "\n")
}

fn text(status: &StatusDocument) -> String {
    let next = status.next_edge.as_ref().map_or_else(
        || "none".to_owned(),
        |edge| format!("{} at {}", edge.name, shown(&edge.at, edge.local.as_deref())),
    );
    let phase = if status.declared { status.phase.as_str() } else { "open (no end is declared)" };
    let mut lines = vec![
        format!("phase      {phase}"),
        format!("next edge  {next}"),
        format!("time       {}", status.server_time),
    ];
    lines.extend(status.policy.map(|policy| format!("policy     {policy}")));
    lines.extend(status.info.as_ref().map(|info| format!("more       {info}")));
    lines.extend(status.latched_at.as_ref().map(|at| format!("held       closed since {at}")));
    lines.extend(status.clock.as_ref().map(|clock| format!("clock      {clock}")));
    lines.extend(status.warnings.iter().map(|warning| format!("warning    {warning}")));
    let rows = status.operations.iter().map(|row| {
        let closes = row.closes_at.as_deref();
        let closes = closes.map(|at| shown(at, row.closes_at_local.as_deref()));
        let closes = closes.unwrap_or_else(|| "never".to_owned());
        [row.operation.to_string(), state(row.state).to_owned(), closes]
    });
    format!("{}\n\n{}", lines.join("\n"), table(["OPERATION", "STATE", "CLOSES"], rows))
}

fn shown(utc: &str, local: Option<&str>) -> String {
    local.map_or_else(|| utc.to_owned(), |local| format!("{utc} = {local}"))
}

fn state(state: OperationState) -> &'static str {
    match state {
        OperationState::Allowed => "allowed",
        OperationState::RunningOnly => "running only",
        OperationState::Refused => "refused",
    }
}

#[cfg(test)]
#[path = "sunset_tests.rs"]
mod tests;
