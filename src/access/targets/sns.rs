//! SNS and SQS of one region: where they are and who signs the calls. The account's own endpoints,
//! unless others are named, as of an emulator.

use super::keys::SnsKeys;
use super::{Around, Reach};
use crate::yaml::Problem;
use std::path::Path;

#[cfg(not(feature = "aws"))]
pub fn reach(_: SnsKeys, _: &Path, _: &Around<'_>) -> Result<Reach, Problem> {
    Err(Problem::new(["sns"], crate::access::token::WITHOUT, ""))
}

#[cfg(feature = "aws")]
pub fn reach(keys: SnsKeys, folder: &Path, around: &Around<'_>) -> Result<Reach, Problem> {
    use crate::access::aws::AwsIdentity;
    use crate::access::{HttpUrl, IamChain, Terms};

    let problem =
        |path: &[&str], what: &str, remedy: &str| Problem::new(path.iter().copied(), what, remedy);
    let iam = keys.iam;
    let Some(region) = iam.region else {
        let remedy = "add `region: NAME`, such as eu-central-1";
        return Err(problem(&["sns", "iam", "region"], "this key is missing", remedy));
    };
    if iam.cluster.is_some() || iam.session.is_some() {
        let what = "`cluster` and `session` are MemoryDB's";
        return Err(problem(&["sns", "iam"], what, "remove them"));
    }
    if !crate::access::token::is_plain(&region) {
        let remedy = "write it as AWS does, such as eu-central-1";
        return Err(problem(&["sns", "iam", "region"], "not the name of a region", remedy));
    }
    let domain = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let mut endpoints = keys.endpoints;
    if endpoints.is_empty() {
        endpoints = ["sns", "sqs"].map(|name| format!("https://{name}.{region}.{domain}")).into();
    }
    let mut urls = Vec::new();
    for (index, text) in endpoints.iter().enumerate() {
        let url = HttpUrl::parse(text).filter(|url| url.path == "/");
        urls.push(url.ok_or_else(|| {
            let (at, remedy) = (index.to_string(), "write http(s)://host:port");
            problem(&["sns", "endpoints", &at], "not an endpoint", remedy)
        })?);
    }
    let same = urls.iter().all(|url| url.tls == urls[0].tls);
    if urls.len() > 2 || !same {
        let what = "these are not one or two endpoints, both with TLS or both without";
        return Err(problem(&["sns", "endpoints"], what, "write that of SNS, then that of SQS"));
    }
    let tls = match (urls[0].tls, super::tls_of("sns", keys.tls, folder)?) {
        (false, _) => None,
        (true, Some(tls)) => Some(tls),
        (true, None) => Some(crate::access::Tls::new(None, None).map_err(|error| {
            let what = error.to_string();
            problem(&["sns", "tls"], &what, "")
        })?),
    };
    let chain = IamChain { region: None, profile: iam.profile, role: iam.role };
    let aws = Some(AwsIdentity::of(chain, region));
    let terms = Terms { remote: around.remote, tls, aws, ..Terms::default() };
    let addresses = urls.into_iter().map(|url| url.address).collect();
    Ok(Reach { addresses, access: terms.into(), primary: None })
}
