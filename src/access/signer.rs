//! Who signs the requests to a service of AWS: credentials of the usual chain, which renew
//! themselves, and the region that is signed for.

use super::aws::sdk_config;
use super::token::IamChain;
use aws_config::Region;
use aws_config::sts::AssumeRoleProvider;
use aws_credential_types::provider::SharedCredentialsProvider;

const NO_REGION: &str = "no region is known; write `region` in the targets file, or set AWS_REGION";
const NO_CHAIN: &str = "there is no chain of credentials";

#[derive(Clone, Debug)]
pub struct RequestSigner {
    pub region: Region,
    pub credentials: SharedCredentialsProvider,
}

impl RequestSigner {
    /// By this chain. Nobody is asked yet: what is wrong with the credentials shows with the first
    /// request.
    pub fn of(chain: &IamChain) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| format!("starting tokio: {error}"))?;
        runtime.block_on(async {
            let config = sdk_config(chain).await;
            let region = config.region().cloned().ok_or(NO_REGION)?;
            let credentials = match &chain.role {
                None => config.credentials_provider().ok_or(NO_CHAIN)?,
                Some(role) => {
                    let role = AssumeRoleProvider::builder(role.as_str()).configure(&config);
                    let role = role.session_name("brokerbench").build().await;
                    SharedCredentialsProvider::new(role)
                }
            };
            Ok(Self { region, credentials })
        })
    }
}
