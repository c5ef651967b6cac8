//! The options of the servers that are not Ballista's, and the addresses that they listen at.
//!
//! Ballista 55 has no way to give its servers TLS or to ask for a token: whoever reaches a server can run plans, which
//! read files. So the servers listen at this machine alone unless told otherwise, and at addresses that are not
//! private only with `--insecure`.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};

/// The options of the servers that are not Ballista's.
pub struct ServerOptions {
    is_insecure: bool,
    models: Vec<PathBuf>,
}

impl ServerOptions {
    /// Adds the options to those of Ballista, whose servers listen at `127.0.0.1` then.
    #[must_use]
    pub fn added_to(command: Command) -> Command {
        command
            .mut_arg("bind_host", |host| host.default_value("127.0.0.1").help("The IP address to listen at"))
            .arg(
                Arg::new("insecure")
                    .long("insecure")
                    .action(ArgAction::SetTrue)
                    .help("Listen at addresses that are not private, where anyone who reaches them can read files"),
            )
            .arg(
                Arg::new("models")
                    .long("models")
                    .value_name("FOLDER")
                    .action(ArgAction::Append)
                    .value_parser(value_parser!(PathBuf))
                    .help("A folder of models that queries may use, with those in it; can be given several times"),
            )
    }

    /// The options as they were given.
    #[must_use]
    pub fn of(matches: &ArgMatches) -> Self {
        let models = matches.get_many("models").into_iter().flatten().cloned().collect();
        Self { is_insecure: matches.get_flag("insecure"), models }
    }

    /// The folders of models that queries may use.
    #[must_use]
    pub fn models(&self) -> Vec<PathBuf> {
        self.models.clone()
    }

    /// The address to listen at.
    ///
    /// # Errors
    ///
    /// It is not an address, or it is not private and the servers are not to be insecure.
    pub fn address(&self, host: &str, port: u16) -> Result<SocketAddr> {
        let ip: IpAddr = host.parse().with_context(|| format!("'{host}' is not an IP address to listen at"))?;
        if !self.is_insecure && !is_private(ip) {
            bail!(
                "'{host}' is not a private address, and a cluster has neither encryption nor authentication: \
                 name an address of a private network with --bind-host, or accept the risk with --insecure"
            );
        }
        Ok(SocketAddr::new(ip, port))
    }
}

/// Whether an address can be reached from this machine or from a private network alone.
fn is_private(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_private_unless_the_server_is_insecure() {
        let options = |is_insecure| ServerOptions { is_insecure, models: Vec::new() };
        let private = ["127.0.0.1", "::1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "fd00::1", "::ffff:10.0.0.1"];
        let public = ["0.0.0.0", "::", "8.8.8.8", "172.32.0.1", "2001:4860::1", "::ffff:8.8.8.8"];
        for host in private {
            assert!(options(false).address(host, 1).is_ok(), "{host}");
        }
        for host in public {
            let error = options(false).address(host, 1).unwrap_err().to_string();
            assert!(error.contains("--insecure"), "{error}");
            assert!(options(true).address(host, 1).is_ok(), "{host}");
        }
        assert!(options(true).address("localhost", 1).is_err());
    }
}
