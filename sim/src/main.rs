//! `cargo sim`: see [`ottla_sim::cli`].

fn main() -> std::process::ExitCode {
    ottla_sim::cli::main(ottla_sim::cluster::play)
}
