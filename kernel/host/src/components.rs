//! The components of `plugins/` and `examples/`, built for tests.

use std::env;
use std::fs;
use std::path::Path;
use std::sync::OnceLock;

use self::guests::Guests;
use super::bundled::Bundled;

#[path = "../../build/guests.rs"]
mod guests;

/// Every plugin that comes with the gateway. Built by the first who asks.
pub(super) fn bundled() -> Bundled {
    static BUILT: OnceLock<Bundled> = OnceLock::new();
    *BUILT.get_or_init(|| {
        let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let mut names: Vec<String> = fs::read_dir(workspace.join("plugins"))
            .unwrap()
            .map(|folder| folder.unwrap())
            .filter(|folder| folder.path().join("Cargo.toml").is_file())
            .map(|folder| folder.file_name().into_string().unwrap())
            .collect();
        names.sort();
        // target/<profile>/deps/<this test>
        let test = env::current_exe().unwrap();
        let guests = Guests::new(&workspace, &test.ancestors().nth(2).unwrap().join("build")).unwrap();
        let packages: Vec<String> = names.iter().map(|name| format!("prx-{name}")).collect();
        let components = guests.build(&packages, &[]).unwrap();
        let plugins: Vec<(&str, &[u8])> = names
            .into_iter()
            .zip(components)
            .map(|(name, file)| (&*name.leak(), &*fs::read(file).unwrap().leak()))
            .collect();
        Bundled::new(plugins.leak())
    })
}
