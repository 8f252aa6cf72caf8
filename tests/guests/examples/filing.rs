//! A tool that does with its private directory what it is told, step by step, and says how each step ended.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};

use prx_sdk::tool::{CallContext, Tool, ToolInfo, ToolOutput};
use prx_sdk::types::Fault;
use serde::Deserialize;
use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

struct Filing;

#[derive(Deserialize)]
struct Steps {
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
enum Step {
    /// Makes a file of `size` bytes.
    Write {
        path: String,
        size: usize,
    },
    /// Writes `size` bytes into one from `at` on.
    Overwrite {
        path: String,
        at: u64,
        size: usize,
    },
    Append {
        path: String,
        size: usize,
    },
    SetLen {
        path: String,
        size: u64,
    },
    /// Opens one and keeps it open until the call ends.
    Hold {
        path: String,
    },
    Read {
        path: String,
    },
    List {
        path: String,
    },
    Remove {
        path: String,
    },
    Rename {
        path: String,
        to: String,
    },
    Mkdir {
        path: String,
    },
    Link {
        path: String,
        to: String,
    },
    /// The same with no library between it and the host.
    RawOpen {
        path: String,
    },
    RawSymlink {
        path: String,
        to: String,
    },
}

impl Tool for Filing {
    fn tools() -> Vec<ToolInfo> {
        vec![ToolInfo {
            name: "file".into(),
            description: "Works with files".into(),
            parameters: r#"{"type":"object"}"#.into(),
            read_only: false,
        }]
    }

    fn call(_: &str, arguments: &str, _: CallContext) -> Result<ToolOutput, Fault> {
        let Steps { steps } =
            serde_json::from_str(arguments).map_err(|error| Fault::bad_input(error.to_string()))?;
        let mut held = Vec::new();
        let said: Vec<String> = steps.into_iter().map(|step| run(step, &mut held)).collect();
        Ok(said.join("\n").into())
    }
}

prx_sdk::plugin! { tool: Filing, manifest: "filing.toml" }

fn run(step: Step, held: &mut Vec<File>) -> String {
    let done = match step {
        Step::RawOpen { path } => return raw(|root| open_raw(root, &path)),
        Step::RawSymlink { path, to } => {
            return raw(|root| root.symlink_at(&to, &path).map(|()| "ok".into()));
        }
        Step::Read { path } => fs::read_to_string(path),
        Step::List { path } => list(&path),
        Step::Write { path, size } => fs::write(path, vec![b'x'; size]).map(|()| "ok".into()),
        Step::Overwrite { path, at, size } => overwrite(&path, at, size),
        Step::Append { path, size } => append(&path, size),
        Step::SetLen { path, size } => set_len(&path, size),
        Step::Hold { path } => File::open(path).map(|file| {
            held.push(file);
            "ok".into()
        }),
        Step::Remove { path } => fs::remove_file(path).map(|()| "ok".into()),
        Step::Rename { path, to } => fs::rename(path, to).map(|()| "ok".into()),
        Step::Mkdir { path } => fs::create_dir(path).map(|()| "ok".into()),
        Step::Link { path, to } => fs::hard_link(path, to).map(|()| "ok".into()),
    };
    done.unwrap_or_else(|error| format!("{:?}", error.kind()))
}

fn list(path: &str) -> io::Result<String> {
    let mut names = Vec::new();
    for entry in fs::read_dir(path)? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names.join(" "))
}

fn overwrite(path: &str, at: u64, size: usize) -> io::Result<String> {
    let mut file = OpenOptions::new().write(true).open(path)?;
    file.seek(SeekFrom::Start(at))?;
    file.write_all(&vec![b'y'; size])?;
    Ok("ok".into())
}

fn append(path: &str, size: usize) -> io::Result<String> {
    OpenOptions::new().append(true).create(true).open(path)?.write_all(&vec![b'z'; size])?;
    Ok("ok".into())
}

fn set_len(path: &str, size: u64) -> io::Result<String> {
    OpenOptions::new().write(true).open(path)?.set_len(size)?;
    Ok("ok".into())
}

fn raw(work: impl Fn(&Descriptor) -> Result<String, ErrorCode>) -> String {
    match get_directories().first() {
        Some((root, _)) => work(root).unwrap_or_else(|code| format!("{code:?}")),
        None => "no directory".into(),
    }
}

fn open_raw(root: &Descriptor, path: &str) -> Result<String, ErrorCode> {
    let file = root.open_at(PathFlags::SYMLINK_FOLLOW, path, OpenFlags::empty(), DescriptorFlags::READ)?;
    let (bytes, _) = file.read(1 << 16, 0)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
