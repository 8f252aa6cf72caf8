//! Where the configuration and the data are.

use std::env;
use std::path::PathBuf;

use super::failure::Failure;
use prx_base::config::{File, Overrides};

#[derive(Debug, clap::Args)]
pub(super) struct PathArguments {
    /// The configuration [default: ~/.config/prx/prx.toml, or the defaults if there is none]
    #[arg(long, global = true, env = "PRX_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where everything is kept [default: ~/.local/share/prx]
    #[arg(long, global = true, env = "PRX_DATA_DIR", value_name = "DIR")]
    data_dir: Option<PathBuf>,
}

/// Which gateway is meant, where it is not the one that runs here.
#[derive(Debug, clap::Args)]
pub(super) struct Elsewhere {
    /// A gateway elsewhere, such as https://gateway.example.org, in place of the one that runs here
    #[arg(long, env = "PRX_URL", value_name = "URL")]
    pub(super) url: Option<String>,
    /// The token for it: itself, file:PATH or env:NAME. Others on this machine see what stands on a command line
    #[arg(long, env = "PRX_TOKEN", value_name = "TOKEN", hide_env_values = true)]
    pub(super) token: Option<String>,
    /// The certificate authority that has signed its certificate, in PEM, beside those that this machine trusts
    #[arg(long, env = "PRX_CA", value_name = "FILE")]
    pub(super) ca: Option<String>,
}

/// The configuration file and the data directory.
#[derive(Debug)]
pub(super) struct Paths {
    /// The configuration file, whether it is there or not.
    pub(super) config: PathBuf,
    /// The file was named, so it must be there.
    config_named: bool,
    /// The data directory.
    pub(super) data_dir: PathBuf,
}

impl Paths {
    pub(super) fn find(PathArguments { config, data_dir }: PathArguments) -> Result<Self, Failure> {
        let config_named = config.is_some();
        let config = match config {
            Some(file) => file,
            None => base("XDG_CONFIG_HOME", ".config")?.join("prx.toml"),
        };
        let data_dir = match data_dir {
            Some(directory) => directory,
            None => base("XDG_DATA_HOME", ".local/share")?,
        };
        Ok(Self { config, config_named, data_dir })
    }

    /// Whether the configuration file was named.
    pub(super) fn is_config_named(&self) -> bool {
        self.config_named
    }

    /// The configuration file.
    pub(super) fn file(&self, overrides: Overrides) -> File {
        File::new(self.config.clone(), self.config_named, overrides).remembered_in(self.data_dir.clone())
    }
}

/// A base directory as XDG has them; none where there is no home.
pub(super) fn xdg(variable: &str, under_home: &str) -> Option<PathBuf> {
    let set = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    set(variable).or_else(|| Some(set("HOME")?.join(under_home)))
}

/// `prx` in one of them.
fn base(variable: &str, under_home: &str) -> Result<PathBuf, Failure> {
    let found = xdg(variable, under_home).map(|base| base.join("prx"));
    found.ok_or_else(|| Failure::new("HOME is not set; say where things are with --config and --data-dir"))
}
