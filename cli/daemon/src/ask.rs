//! `syva-core status` and `syva-core events`: asks the daemon that runs, as `syva-cli` does. Where that
//! does not answer, the status is what the kernel itself has.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use syva_bpf::observe::{Observed, observe};
use syva_ctl::commands::events::Events;
use syva_ctl::commands::{Session, status};
use syva_ctl::exit::{Exit, Failure};
use syva_ctl::output::{Format, Operation, Output};
use syva_model::hook::Hook;
use syva_rpc::v1::HookStatus;

/// What this client calls itself.
const ADAPTER: &str = "syva-core";

/// How long the daemon has to answer before the kernel is asked.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is asked, instead of being the daemon.
#[derive(Clone, Debug, Subcommand)]
pub enum Verb {
    /// How the daemon that runs is; where it does not answer, what the kernel itself has.
    Status(How),
    /// Denials, as `syva-cli events` shows them.
    Events(Watch),
}

/// How it is printed.
#[derive(Clone, Debug, Args)]
pub struct How {
    /// Text for people, or JSON for scripts.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

/// `events`.
#[derive(Clone, Debug, Args)]
pub struct Watch {
    #[command(flatten)]
    events: Events,
    #[command(flatten)]
    how: How,
}

impl Verb {
    /// Asks the daemon at that socket, and prints the answer.
    pub fn run(self, socket: &Path) -> ExitCode {
        match self {
            Verb::Status(how) => {
                let out = Output::new(how.format, Operation::read("status"));
                syva_ctl::finish(&out, show(socket, &out))
            }
            Verb::Events(watch) => {
                let out = Output::new(watch.how.format, Operation::read("events"));
                let session = Session::named(ADAPTER, socket, &out);
                syva_ctl::finish(&out, watch.events.run(&session))
            }
        }
    }
}

async fn show(socket: &Path, out: &Output) -> Result<(), Failure> {
    let session = Session::named(ADAPTER, socket, out);
    let asked = tokio::time::timeout(PATIENCE, status::ask(&session)).await;
    let failure = match asked {
        Ok(Ok(answer)) => return status::show(&session, &answer),
        Ok(Err(failure)) => failure,
        Err(_) => Failure::Silent {
            socket: socket.to_owned(),
            patience: PATIENCE,
        },
    };
    if failure.exit() != Exit::Unreachable {
        return Err(failure);
    }
    let daemon = Box::new(failure);
    match observe() {
        Ok(Some(observed)) => {
            out.note(&format!("{daemon}; this is what the kernel itself has"));
            from_kernel(out, &daemon.to_string(), &observed)
        }
        Ok(None) => Err(Failure::NothingEnforces { daemon }),
        Err(error) => Err(Failure::KernelUnknown {
            daemon,
            said: error.to_string(),
        }),
    }
}

fn from_kernel(out: &Output, daemon: &str, observed: &Observed) -> Result<(), Failure> {
    let hooks = hooks(observed);
    let attached = Hook::ALL
        .iter()
        .all(|hook| observed.attached.contains(hook));
    let counters = observed.counters.as_ref();
    let data = json!({
        "source": "kernel",
        "daemon": daemon,
        "attached": attached,
        "mode": observed.mode.name(),
        "applied_seq": observed.applied,
        "applying_seq": observed.applying,
        "counters_problem": counters.err(),
        "denials_overflow": counters.ok().map(|counters| counters.denials_overflow),
        "escapes": counters.ok().map(|counters| counters.escapes),
        "hooks": hooks_json(observed, &hooks),
    });
    out.answer(data, || text(observed, attached, &hooks))
}

/// As the daemon's status has them; what cannot be read is null, not 0.
fn hooks_json(observed: &Observed, hooks: &[HookStatus]) -> Vec<Value> {
    let mut hooks = status::hooks_json(hooks);
    if observed.counters.is_err() {
        for hook in &mut hooks {
            for counter in ["allow", "deny", "would_deny", "error", "lost"] {
                hook[counter] = Value::Null;
            }
        }
    }
    hooks
}

fn text(observed: &Observed, attached: bool, hooks: &[HookStatus]) -> Vec<String> {
    let attached = if attached {
        "every hook's program is attached: what the policy refused is still refused"
    } else {
        "not every hook's program is attached"
    };
    let policy = match (observed.applied, observed.applying) {
        (applied, applying) if applied == applying => format!("journal entry {applied}"),
        (applied, applying) => format!("journal entry {applied}, {applying} is half written"),
    };
    let mut lines = vec![
        "daemon      does not answer".to_owned(),
        format!("kernel      {attached}"),
        format!("mode        {}", observed.mode.name()),
        format!("policy      {policy}"),
    ];
    if let Err(problem) = &observed.counters {
        lines.push(format!("counters    {problem}"));
    }
    lines.push(String::new());
    if observed.counters.is_ok() {
        lines.extend(status::hooks_text(hooks));
    } else {
        lines.extend(hooks.iter().map(|hook| match hook.attached {
            true => format!("{} is attached", hook.hook),
            false => format!("{} is not attached", hook.hook),
        }));
    }
    lines
}

fn hooks(observed: &Observed) -> Vec<HookStatus> {
    let counters = observed.counters.as_ref().ok();
    let of = |hook: &Hook| {
        let counted = counters.and_then(|all| all.hooks.get(hook.index() as usize));
        let counted = counted.copied().unwrap_or_default();
        HookStatus {
            hook: hook.name().to_owned(),
            attached: observed.attached.contains(hook),
            problem: String::new(),
            allow: counted.allow,
            deny: counted.deny,
            would_deny: counted.would_deny,
            error: counted.error,
            lost: counted.lost,
        }
    };
    Hook::ALL.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use syva_model::image::Mode;
    use syva_model::kernel::{Counters, HookCounters};

    use super::*;

    fn observed() -> Observed {
        let mut hooks = vec![HookCounters::default(); Hook::ALL.len()];
        hooks[Hook::FileOpen.index() as usize].deny = 7;
        Observed {
            attached: Hook::ALL.iter().copied().collect(),
            mode: Mode::Enforce,
            applied: 4,
            applying: 5,
            counters: Ok(Counters {
                hooks,
                ..Counters::default()
            }),
        }
    }

    #[test]
    fn what_the_kernel_has_is_said_in_words() {
        let mut observed = observed();
        let said = text(&observed, true, &hooks(&observed)).join("\n");
        for part in [
            "still refused",
            "journal entry 4, 5 is half written",
            "file_open",
            "7",
        ] {
            assert!(said.contains(part), "{part:?} in\n{said}");
        }
        observed.attached.remove(&Hook::FileOpen);
        observed.counters = Err("another build".into());
        let hooks = hooks(&observed);
        let file_open = hooks.iter().find(|hook| hook.hook == "file_open");
        assert!(file_open.is_some_and(|hook| !hook.attached));
        assert_eq!(hooks_json(&observed, &hooks)[0]["deny"], Value::Null);
        let said = text(&observed, false, &hooks).join("\n");
        assert!(
            said.contains("not every hook's") && said.contains("another build"),
            "{said}"
        );
    }
}
