#[derive(Debug, clap::Args)]
pub(crate) struct Options {}
pub(crate) async fn run(_options: Options) -> anyhow::Result<()> {
    Ok(())
}
