//! `syva-core`, the daemon: opens the journal, loads the kernel side, serves `syva.core.v1`. With a verb
//! it asks the one that runs instead.

mod args;
mod ask;
mod journald;
mod logging;
mod node;
mod notify;
mod telemetry;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;
use syva_actors::engine::{Config, Engine};
use syva_actors::loader::BoxedKernel;
use syva_actors::memory::MemoryKernel;
use syva_bpf::LibbpfKernel;
use syva_rpc::otlp::Otlp;
use syva_rpc::server::{serve, socket};
use tokio::signal::unix::{SignalKind, signal};

use args::{Args, Backend, PINS};

/// How long threads that are stuck in a system call are waited for at the end.
const STUCK: Duration = Duration::from_secs(5);

fn main() -> Result<ExitCode> {
    let mut args = Args::parse();
    if let Some(verb) = args.verb.take() {
        return Ok(verb.run(&args.socket_path));
    }
    if args.unload {
        unload(&args)?;
        return Ok(ExitCode::SUCCESS);
    }
    // FAILPOINTS names the points and what happens there.
    #[cfg(feature = "failpoints")]
    let _armed = fail::FailScenario::setup();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let runtime = runtime.context("cannot start the asynchronous runtime")?;
    let otlp = {
        let _within = runtime.enter();
        telemetry::otlp(&args)?
    };
    let log = logging::init(args.log_format, otlp.as_ref());
    // Everything runs in spawned tasks: calls between actors are slower from this thread.
    let outcome = runtime.block_on(async { tokio::spawn(run(args, otlp)).await? });
    drop(log);
    // A thread that looks at a path on a file system which does not answer is not waited for.
    runtime.shutdown_timeout(STUCK);
    outcome?;
    Ok(ExitCode::SUCCESS)
}

async fn run(args: Args, mut otlp: Option<Otlp>) -> Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot catch SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot catch SIGINT")?;
    let facts = node::facts(&args)?;
    let config = Config {
        journal_dir: args.state_dir.clone(),
        cgroup_root: args.cgroup_root.clone(),
        vantage: node::vantage(&args),
        mode: args.mode.map(Into::into),
        own_paths: match args.backend {
            Backend::Libbpf => node::own_files(&args)?,
            Backend::Memory => Vec::new(),
        },
        facts,
        reconcile_every: args.reconcile_interval,
        outlet: otlp.as_mut().and_then(Otlp::outlet),
    };
    // The socket comes first: a second daemon is told so before it touches anything.
    let listener = socket::bind(&args.socket_path)?;
    let http = match telemetry::bind(&args).await {
        Ok(http) => http,
        Err(error) => {
            remove_socket(&args);
            return Err(error);
        }
    };
    let started = match kernel(&args) {
        Ok(kernel) => Engine::start(config, kernel).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    let engine = match started {
        Ok(engine) => Arc::new(engine),
        Err(error) => {
            remove_socket(&args);
            return Err(error);
        }
    };
    let health = engine.health().borrow().clone();
    tracing::info!(
        socket = %args.socket_path.display(),
        health = health.grade().name(),
        attached = health.attached(),
        reasons = ?health.words(),
        "syva-core is ready"
    );
    let telling = notify::start(&engine);
    let asked = Arc::new(AtomicBool::new(true));
    let stop = {
        let (engine, asked) = (Arc::clone(&engine), Arc::clone(&asked));
        async move {
            tokio::select! {
                _ = terminate.recv() => tracing::info!("stopping on SIGTERM"),
                _ = interrupt.recv() => tracing::info!("stopping on SIGINT"),
                () = engine.ended() => asked.store(false, Ordering::Relaxed),
            }
            notify::stopping();
        }
    };
    let telemetry = telemetry::start(&engine, http, otlp);
    let served = serve(Arc::clone(&engine), listener, stop).await;
    telling.stop().await;
    remove_socket(&args);
    telemetry.stop().await;
    if let Ok(engine) = Arc::try_unwrap(engine) {
        engine.stop().await;
    }
    served?;
    anyhow::ensure!(
        asked.load(Ordering::Relaxed),
        "the supervisor of the actors failed, as logged above; a new start reads the journal again"
    );
    Ok(())
}

fn unload(args: &Args) -> Result<()> {
    let Some(dir) = &args.pin_dir.0 else {
        println!("--pin-dir is off: nothing is pinned, and stopping the daemon ends enforcement");
        return Ok(());
    };
    let released = syva_bpf::release(dir)?;
    match released.links {
        0 => println!("nothing was attached"),
        links => println!(
            "{links} programs detached, {} maps removed: nothing is enforced until the next start",
            released.maps
        ),
    }
    Ok(())
}

fn kernel(args: &Args) -> Result<BoxedKernel> {
    let Backend::Libbpf = args.backend else {
        return Ok(Box::new(MemoryKernel::new()));
    };
    let kernel = LibbpfKernel::new(args.cgroup_root.clone()).with_quotas(args.quotas());
    if let Some(dir) = &args.pin_dir.0 {
        return Ok(Box::new(kernel.pinned_in(dir.clone())));
    }
    // They would go on enforcing what they hold now, whatever this daemon is told.
    anyhow::ensure!(
        !std::fs::read_dir(PINS).is_ok_and(|mut pins| pins.next().is_some()),
        "cannot start with --pin-dir off while programs of an earlier start are pinned in {PINS}: \
         end those first, with `syva-core --unload`"
    );
    tracing::warn!("--pin-dir is off: enforcement ends with this process, however it ends");
    Ok(Box::new(kernel))
}

fn remove_socket(args: &Args) {
    if let Err(error) = std::fs::remove_file(&args.socket_path) {
        tracing::warn!(path = %args.socket_path.display(), %error, "cannot remove the socket");
    }
}
