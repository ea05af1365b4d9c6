//! The binary: arguments in, exit code out.

use std::process::ExitCode;

use clap::Parser;
use portlane::args::{Arguments, Command};
use portlane::commands;
use portlane::failure::{self, Failure};

fn main() -> ExitCode {
    match run(&Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure::tell(failure.message());
            ExitCode::from(failure.code())
        }
    }
}

fn run(command: &Command) -> Result<(), Failure> {
    match command {
        Command::Replay(arguments) => commands::replay::run(arguments),
        Command::Bench(arguments) => commands::bench::run(arguments),
        Command::Check(arguments) => commands::check::run(arguments),
        Command::Stats(arguments) => commands::stats::run(arguments),
        Command::Capture(arguments) => commands::capture::run(arguments),
        Command::Container(command) => commands::container::run(command),
        Command::Flows(arguments) => commands::flows::flows(arguments),
        Command::MeterLabelCreate(command) => commands::meters::create_label(command),
        Command::MeterLabelList(target) => commands::meters::list_labels(target),
        Command::MeterLabelShow(command) => commands::meters::show_label(command),
        Command::MeterLabelDelete(command) => commands::meters::delete_label(command),
        Command::MeterLabelRuleCreate(command) => commands::meters::create_rule(command),
        Command::MeterLabelRuleList(target) => commands::meters::list_rules(target),
        Command::MeterLabelRuleShow(command) => commands::meters::show_rule(command),
        Command::MeterLabelRuleDelete(command) => commands::meters::delete_rule(command),
        Command::Reload(target) => commands::container::reload(&target.socket),
        Command::Drain(target) => commands::container::drain(&target.socket),
        Command::Top(arguments) => portlane::top::run(arguments),
        Command::ImportMesos(flags) => commands::import_mesos::run(flags),
        #[cfg(feature = "af-xdp")]
        Command::Attach => portlane::attach::serve(),
        #[cfg(feature = "af-xdp")]
        Command::Run(arguments) => commands::run::run(arguments),
        #[cfg(feature = "af-xdp")]
        Command::Demo(arguments) => portlane::demo::run(arguments),
        #[cfg(not(feature = "af-xdp"))]
        Command::Run(_) | Command::Demo(_) | Command::Attach => Err(Failure::refused(
            "this portlane was built without AF_XDP, for replay only: build it with the feature `af-xdp` (the default)",
        )),
    }
}
