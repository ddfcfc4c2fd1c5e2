use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    ghostlight::app::main().await
}
