use std::collections::BTreeMap;

use clap::{Arg, ArgAction, ArgMatches, Args, Command, FromArgMatches, value_parser};

use super::service::Service;
use super::services::{self, Services};
use crate::edge::peers::Identity;
use crate::edge::tls::ClientTls;
use crate::flags::address::Address;

/// The addresses of the other services; each may be several processes.
#[derive(Clone, Debug, Default)]
pub struct Peers {
    /// By the name of the service.
    pub at: BTreeMap<&'static str, Vec<String>>,
    /// This process's identity to them.
    pub identity: Identity,
    /// TLS to those with https addresses, and to other order nodes if callers come by TLS here.
    pub tls: Option<ClientTls>,
}

impl Peers {
    /// The addresses of a service; empty if unknown.
    #[must_use]
    pub fn at(&self, service: &str) -> &[String] {
        self.at.get(service).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Flags with the addresses of the other services, one per service.
#[derive(Clone, Debug, Default)]
pub struct PeerArgs(BTreeMap<&'static str, Vec<Address>>);

impl PeerArgs {
    /// By the name of the service.
    #[must_use]
    pub fn addresses(&self) -> BTreeMap<&'static str, Vec<String>> {
        let texts = |at: &Vec<Address>| at.iter().map(ToString::to_string).collect();
        self.0.iter().map(|(name, at)| (*name, texts(at))).collect()
    }

    /// Whether one is reached by TLS.
    #[must_use]
    pub fn have_tls(&self) -> bool {
        self.0.values().flatten().any(Address::is_tls)
    }

    /// The id of a service's flag.
    #[must_use]
    pub fn id(service: &Service) -> String {
        format!("{}_at", service.name)
    }

    /// The flags of these services.
    pub(crate) fn augment(command: Command, services: Services) -> Command {
        command.args(services.iter().map(|service| {
            Arg::new(Self::id(service))
                .long(format!("{}-at", service.name))
                .env(format!("ORDINAL_{}_AT", service.name.to_uppercase()))
                .hide_env_values(true)
                .value_name("ADDRESS")
                .value_delimiter(',')
                .value_parser(value_parser!(Address))
                .action(ArgAction::Append)
                .help(service.answers)
        }))
    }

    /// Reads the flags of these services.
    pub(crate) fn read(matches: &ArgMatches, services: Services) -> Self {
        let given = services.iter().filter_map(|service| {
            let given = matches.try_get_many::<Address>(&Self::id(service)).ok().flatten()?;
            Some((service.name, given.cloned().collect()))
        });
        Self(given.collect())
    }
}

impl Args for PeerArgs {
    fn augment_args(command: Command) -> Command {
        Self::augment(command, services::ALL)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for PeerArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Ok(Self::read(matches, services::ALL))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}
