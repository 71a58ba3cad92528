//! How a missing program comes onto this machine, in the words of its own distribution. Nothing is
//! installed here.
//!
//! Where the distribution is not known the remedy names the program alone: a wrong command is worse
//! than none.

use super::program;
use std::sync::OnceLock;

/// What brokerbench can be short of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tool {
    Java,
    Maven,
    Redis,
    Engine,
    Compose,
    Governor,
}

/// Distributions that share a package manager and its names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Debian,
    Fedora,
    Arch,
    Alpine,
    Suse,
    Mac,
}

/// `PRETTY_NAME` of this machine's distribution; `unknown` where nothing says so.
pub fn distribution() -> String {
    let name = field(os_release(), "PRETTY_NAME");
    if name.is_empty() { std::env::consts::OS.to_owned() } else { name.to_owned() }
}

/// Such as ``install it (`apt-get install redis-server`)``.
pub fn install(tool: Tool) -> String {
    match (family(os_release()), tool) {
        (Some(family), tool) => {
            format!("install it (`{}`)", command(family, tool, major(os_release())))
        }
        (None, Tool::Engine) => "install one (https://docs.docker.com/engine/install)".to_owned(),
        (None, _) => "install it".to_owned(),
    }
}

fn os_release() -> &'static str {
    static TEXT: OnceLock<String> = OnceLock::new();
    TEXT.get_or_init(|| {
        program::read("/etc/os-release")
            .or_else(|| program::read("/usr/lib/os-release"))
            .unwrap_or_default()
    })
}

/// See os-release(5).
fn field<'a>(text: &'a str, key: &str) -> &'a str {
    let value = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    value.unwrap_or_default().trim_matches(['"', '\''])
}

fn family(text: &str) -> Option<Family> {
    if cfg!(target_os = "macos") {
        return Some(Family::Mac);
    }
    let names = field(text, "ID").split(' ').chain(field(text, "ID_LIKE").split(' '));
    names.into_iter().find_map(|name| match name {
        "debian" | "ubuntu" => Some(Family::Debian),
        "fedora" | "rhel" | "centos" => Some(Family::Fedora),
        "arch" => Some(Family::Arch),
        "alpine" => Some(Family::Alpine),
        "suse" | "opensuse" | "sles" => Some(Family::Suse),
        _ => None,
    })
}

/// Of the distribution; Debian's testing has none.
fn major(text: &str) -> Option<u32> {
    field(text, "VERSION_ID").split('.').next()?.parse().ok()
}

fn command(family: Family, tool: Tool, major: Option<u32>) -> String {
    let manager = match family {
        Family::Debian => "apt-get install",
        Family::Fedora => "dnf install",
        Family::Arch => "pacman -S",
        Family::Alpine => "apk add",
        Family::Suse => "zypper install",
        Family::Mac => "brew install",
    };
    let package = match (tool, family) {
        // Each has one of the two: 17 up to Debian 12 and Ubuntu 22, 21 from then on.
        (Tool::Java, Family::Debian) if matches!(major, Some(..=12 | 20..=22)) => {
            "openjdk-17-jre-headless"
        }
        (Tool::Java, Family::Debian) => "openjdk-21-jre-headless",
        (Tool::Java, Family::Fedora | Family::Suse) => "java-21-openjdk-headless",
        (Tool::Java, Family::Arch) => "jre-openjdk-headless",
        (Tool::Java, Family::Alpine) => "openjdk21-jre-headless",
        (Tool::Java, Family::Mac) => "openjdk",
        (Tool::Maven, _) => "maven",
        (Tool::Redis, Family::Debian) => "redis-server",
        // Fedora 41 and RHEL 10 have its fork instead.
        (Tool::Redis, Family::Fedora) if matches!(major, Some(10 | 41..)) => "valkey",
        (Tool::Redis, Family::Arch) => "valkey",
        (Tool::Redis, _) => "redis",
        (Tool::Engine | Tool::Compose | Tool::Governor, Family::Mac) => "--cask docker",
        (Tool::Engine, Family::Debian) => "docker.io docker-compose",
        (Tool::Engine, Family::Fedora) => "moby-engine docker-compose",
        (Tool::Engine, Family::Alpine) => "docker docker-cli-compose",
        (Tool::Engine, _) => "docker docker-compose",
        (Tool::Compose, Family::Alpine) => "docker-cli-compose",
        (Tool::Compose, _) => "docker-compose",
        (Tool::Governor, Family::Debian) => "linux-cpupower",
        (Tool::Governor, Family::Fedora) => "kernel-tools",
        (Tool::Governor, _) => "cpupower",
    };
    format!("{manager} {package}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: &str =
        "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\nID=debian\n";
    const MINT: &str = "ID=linuxmint\nID_LIKE=\"ubuntu debian\"\nVERSION_ID=\"22\"\n";
    const ROCKY: &str = "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\nVERSION_ID=\"9.4\"\n";

    #[cfg(target_os = "linux")]
    #[test]
    fn each_distribution_gets_its_own_words() {
        let of = |text: &str, tool| family(text).map(|family| command(family, tool, major(text)));
        let some = |words: &str| Some(words.to_owned());
        assert_eq!(of(BOOKWORM, Tool::Java), some("apt-get install openjdk-17-jre-headless"));
        assert_eq!(
            of("ID=debian\nVERSION_ID=13", Tool::Java),
            some("apt-get install openjdk-21-jre-headless")
        );
        assert_eq!(
            of("ID=debian", Tool::Java),
            some("apt-get install openjdk-21-jre-headless"),
            "testing"
        );
        assert_eq!(of(MINT, Tool::Redis), some("apt-get install redis-server"));
        assert_eq!(of(ROCKY, Tool::Redis), some("dnf install redis"));
        assert_eq!(of("ID=fedora\nVERSION_ID=43", Tool::Redis), some("dnf install valkey"));
        assert_eq!(
            of("ID=opensuse-leap\nID_LIKE=\"suse opensuse\"", Tool::Maven),
            some("zypper install maven")
        );
        assert_eq!(of("ID=slackware", Tool::Java), None);
        assert_eq!(of("", Tool::Java), None);
        assert_eq!(field(BOOKWORM, "PRETTY_NAME"), "Debian GNU/Linux 12 (bookworm)");
    }
}
