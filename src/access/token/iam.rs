//! Logins by IAM: who signs, for which region, and what a service takes as a token. The signing
//! itself is `access/aws`, which is there with the feature `aws` only.

#[cfg(feature = "aws")]
use crate::access::aws::Presigner;

use super::Tokens;

/// Whose credentials sign, and where; what is missing is found by AWS's usual chain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct IamChain {
    pub region: Option<String>,
    pub profile: Option<String>,
    /// To be assumed, by its ARN.
    pub role: Option<String>,
}

/// What a service takes as a token: a request to it that is signed beforehand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedLogin {
    Msk,
    Memorydb { cluster: String, user: String },
}

/// Said where something of AWS is described.
#[cfg(not(feature = "aws"))]
pub const WITHOUT: &str = "this build signs nothing for AWS: use a release archive or the image, \
    or build with `--features aws`; SCRAM-SHA-512, certificates and passwords work without";

/// Tokens for a cluster of MSK.
pub fn msk(chain: IamChain) -> Result<Tokens, &'static str> {
    signed(chain, SignedLogin::Msk)
}

/// Tokens for a user of a cluster of MemoryDB, who logs in with one in the place of a password.
pub fn memorydb(chain: IamChain, cluster: String, user: String) -> Result<Tokens, &'static str> {
    signed(chain, SignedLogin::Memorydb { cluster, user })
}

#[cfg(feature = "aws")]
fn signed(chain: IamChain, login: SignedLogin) -> Result<Tokens, &'static str> {
    Ok(Tokens::of(Presigner { chain, login }))
}

#[cfg(not(feature = "aws"))]
fn signed(_: IamChain, _: SignedLogin) -> Result<Tokens, &'static str> {
    Err(WITHOUT)
}

/// The region in an address of AWS, such as `b-1.demo.a1.c2.kafka.eu-central-1.amazonaws.com:9098`.
pub fn region_of(address: &str) -> Option<String> {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let host = host.strip_suffix(".amazonaws.com").or(host.strip_suffix(".amazonaws.com.cn"))?;
    let region = host.rsplit('.').next()?;
    (region.contains('-') && is_plain(region)).then(|| region.to_owned())
}

/// Whether it may be the name of a region or of a cluster: both become a part of what is signed.
pub fn is_plain(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    !name.is_empty() && name.chars().all(plain)
}

/// The name of a cluster in the address that MemoryDB gives it, such as
/// `clustercfg.demo.a1b2c3.memorydb.eu-central-1.amazonaws.com:6379`.
pub fn cluster_of(address: &str) -> Option<String> {
    let mut parts = address.strip_prefix("clustercfg.")?.split('.');
    let (name, _, service) = (parts.next()?, parts.next()?, parts.next()?);
    (service == "memorydb" && !name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_aws_tell_their_region_and_their_cluster() {
        let msk = "b-1.demo.a1.c2.kafka.eu-central-1.amazonaws.com:9098";
        let serverless = "boot-x.c1.kafka-serverless.us-east-1.amazonaws.com:9098";
        let china = "b-1.demo.a1.c2.kafka.cn-north-1.amazonaws.com.cn:9098";
        let memorydb = "clustercfg.demo.a1b2c3.memorydb.us-west-2.amazonaws.com:6379";
        for (address, region) in [
            (msk, "eu-central-1"),
            (serverless, "us-east-1"),
            (china, "cn-north-1"),
            (memorydb, "us-west-2"),
        ] {
            assert_eq!(region_of(address).as_deref(), Some(region), "{address}");
        }
        assert_eq!(cluster_of(memorydb).as_deref(), Some("demo"));
        for other in ["localhost:9098", "127.0.0.1:1", "x.amazonaws.com:1", ""] {
            assert_eq!((region_of(other), cluster_of(other)), (None, None), "{other}");
        }
    }

    #[cfg(not(feature = "aws"))]
    #[test]
    fn a_build_without_says_what_works_all_the_same() {
        let error = msk(IamChain::default()).unwrap_err();
        assert!(error.contains("--features aws") && error.contains("SCRAM-SHA-512"), "{error}");
    }
}
