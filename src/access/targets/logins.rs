//! What a targets file says of a login, as the login itself: by a password, or by tokens that end.

use super::keys::{IamKeys, OidcKeys, REFERENCE, RedisKeys, Reference, SaslKeys, SaslMechanism};
use super::{Around, SET_IT};
use crate::access::token::{self, IamChain};
use crate::access::{
    HttpUrl, Login, Mechanism, OidcClient, SecretString, Terms, Tls, TokenLogin, Tokens,
};
use crate::yaml::{Problem, read};
use std::path::Path;
use std::time::Duration;

/// After which MemoryDB cuts a connection that has not signed in again.
const MEMORYDB_SESSION: Duration = Duration::from_secs(12 * 3600);

/// By a password, or by tokens.
#[derive(Default)]
pub struct Logins {
    pub login: Option<Login>,
    pub tokens: Option<TokenLogin>,
}

/// Around a login of one block of the file.
pub struct LoginPlace<'a> {
    /// `kafka`, `msk`, …
    pub block: &'a str,
    /// Where its brokers are: AWS's addresses tell their region.
    pub address: &'a str,
    pub tls: bool,
    pub folder: &'a Path,
    pub around: &'a Around<'a>,
}

impl LoginPlace<'_> {
    fn problem(&self, keys: &[&str], what: impl std::fmt::Display, remedy: &str) -> Problem {
        Problem::new([self.block].into_iter().chain(keys.iter().copied()), what, remedy)
    }

    fn secret(&self, keys: &[&str], reference: &Reference) -> Result<SecretString, Problem> {
        reference.resolve(self.around).map_err(|what| self.problem(keys, what, SET_IT))
    }

    /// Of Kafka and of MSK.
    pub fn sasl(&self, keys: SaslKeys) -> Result<Logins, Problem> {
        let SaslKeys { mechanism, user, password, token, oidc, iam } = keys;
        let given = [
            ("user", user.is_some()),
            ("password", password.is_some()),
            ("token", token.is_some()),
            ("oidc", oidc.is_some()),
            ("iam", iam.is_some()),
        ];
        let own: &[&str] = match mechanism {
            SaslMechanism::OauthBearer => &["token", "oidc"],
            SaslMechanism::AwsMskIam => &["iam"],
            _ => &["user", "password"],
        };
        if let Some((key, _)) = given.into_iter().find(|(key, is)| *is && !own.contains(key)) {
            let what = "it belongs to another mechanism";
            return Err(self.problem(&["sasl", key], what, "remove it, or `sasl.mechanism` is"));
        }
        let mechanism = match mechanism {
            SaslMechanism::Plain => Mechanism::Plain,
            SaslMechanism::ScramSha256 => Mechanism::ScramSha256,
            SaslMechanism::ScramSha512 => Mechanism::ScramSha512,
            SaslMechanism::OauthBearer => return self.bearer(token, oidc).map(by_tokens),
            SaslMechanism::AwsMskIam => {
                return self.msk_iam(iam.unwrap_or_default()).map(by_tokens);
            }
        };
        let missing = |key: &str| {
            self.problem(&["sasl", key], "this key is missing", &format!("add `{key}:`"))
        };
        let user = user.ok_or_else(|| missing("user"))?;
        let password = password.ok_or_else(|| missing("password"))?;
        let password = self.secret(&["sasl", "password"], &password)?;
        if user.is_empty() {
            let remedy = "write the name to log in with";
            return Err(self.problem(&["sasl", "user"], "it is empty", remedy));
        }
        Ok(Logins { login: Some(Login { user: Some(user), password, mechanism }), tokens: None })
    }

    fn bearer(&self, token: Option<Reference>, oidc: Option<OidcKeys>) -> Result<Tokens, Problem> {
        match (token, oidc) {
            (Some(token), None) => {
                let at = ["sasl", "token"];
                let token = self.secret(&at, &token)?;
                token::fixed(token).map_err(|what| self.problem(&at, what, "give another one"))
            }
            (None, Some(oidc)) => self.oidc(oidc),
            _ => {
                let what = "OAUTHBEARER takes its token from `token` or from `oidc`, one of them";
                Err(self.problem(&["sasl"], what, "add `token: ${env:NAME}`, or `oidc:`"))
            }
        }
    }

    fn oidc(&self, keys: OidcKeys) -> Result<Tokens, Problem> {
        let at = |key: &'static str| ["sasl", "oidc", key];
        let url = HttpUrl::parse(&keys.url).ok_or_else(|| {
            let remedy = "write https://host/path, that of the provider's token endpoint";
            self.problem(&at("url"), "not the address of a token endpoint", remedy)
        })?;
        let secret = self.secret(&at("client-secret"), &keys.client_secret)?;
        let ca = keys.ca.map(|path| {
            let found = read(&self.folder.join(&path));
            found.map_err(|what| self.problem(&at("ca"), format!("{path}: {what}"), ""))
        });
        let ca = ca.transpose()?;
        let tls = url.tls.then(|| Tls::new(ca, None)).transpose();
        let tls = tls.map_err(|error| self.problem(&at("ca"), error, ""))?;
        // It holds the secret that would cross the network: in the clear on loopback only.
        let (user, mechanism) = (None, Mechanism::Plain);
        let login = Some(Login { user, password: secret.clone(), mechanism });
        let terms = Terms { remote: self.around.remote, tls, login, ..Terms::default() };
        let (id, scope) = (keys.client_id, keys.scope);
        Ok(Tokens::of(OidcClient { url, access: terms.into(), id, secret, scope }))
    }

    fn msk_iam(&self, keys: IamKeys) -> Result<Tokens, Problem> {
        let foreign = [("cluster", keys.cluster.is_some()), ("session", keys.session.is_some())];
        if let Some((key, _)) = foreign.into_iter().find(|(_, given)| *given) {
            return Err(self.problem(&["sasl", "iam", key], "it is MemoryDB's", "remove it"));
        }
        self.named(&["sasl", "iam", "region"], keys.region.as_deref())?;
        self.over_tls()?;
        token::msk(self.chain(keys)).map_err(|what| self.problem(&["sasl", "mechanism"], what, ""))
    }

    /// What is signed holds no name that could be taken for something else.
    fn named(&self, keys: &[&str], name: Option<&str>) -> Result<(), Problem> {
        match name.is_none_or(token::is_plain) {
            true => Ok(()),
            false => {
                let remedy = "write it as AWS does: a to z, 0 to 9 and dashes";
                Err(self.problem(keys, "not a name of AWS", remedy))
            }
        }
    }

    fn over_tls(&self) -> Result<(), Problem> {
        let what = "AWS takes a login by IAM over TLS only";
        if self.tls { Ok(()) } else { Err(self.problem(&["tls"], what, "write `tls: true`")) }
    }

    fn chain(&self, keys: IamKeys) -> IamChain {
        let region = keys.region.or_else(|| token::region_of(self.address));
        IamChain { region, profile: keys.profile, role: keys.role }
    }

    /// Of Redis and of MemoryDB.
    pub fn redis(&self, keys: &mut RedisKeys) -> Result<Logins, Problem> {
        if let Some(iam) = keys.iam.take() {
            return self.memorydb_iam(keys, iam);
        }
        match (keys.user.take(), keys.password.take()) {
            (None, None) => Ok(Logins::default()),
            (Some(_), None) => {
                let what = match self.block {
                    "memorydb" => "there is neither `password` nor `iam` beside it",
                    _ => "there is no `password` beside it",
                };
                Err(self.problem(&["user"], what, REFERENCE))
            }
            (user, Some(reference)) => {
                let password = self.secret(&["password"], &reference)?;
                let login = Some(Login { user, password, mechanism: Mechanism::Plain });
                Ok(Logins { login, tokens: None })
            }
        }
    }

    fn memorydb_iam(&self, keys: &mut RedisKeys, iam: IamKeys) -> Result<Logins, Problem> {
        if self.block != "memorydb" {
            let what = "only MemoryDB takes a login by IAM";
            return Err(self.problem(&["iam"], what, "describe the cluster as `memorydb:`"));
        }
        if keys.password.is_some() {
            let what = "with `iam` a signed token is the password";
            return Err(self.problem(&["password"], what, "remove it, or `iam`"));
        }
        self.over_tls()?;
        let user = keys.user.take().ok_or_else(|| {
            let remedy = "add `user:`, one of the ACL whose authentication type is `iam`";
            self.problem(&["user"], "this key is missing", remedy)
        })?;
        let cluster = iam.cluster.clone().or_else(|| token::cluster_of(self.address));
        let cluster = cluster.ok_or_else(|| {
            let what = "the address does not tell the name of the cluster, which is signed";
            self.problem(&["iam"], what, "add `cluster: NAME`")
        })?;
        self.named(&["iam", "region"], iam.region.as_deref())?;
        self.named(&["iam", "cluster"], Some(&cluster))?;
        if iam.session.is_some_and(|session| session.nanos() == 0) {
            let remedy = "write a duration such as `12h`, or remove it";
            return Err(self.problem(&["iam", "session"], "no time to be signed in", remedy));
        }
        let session = iam.session.map_or(MEMORYDB_SESSION, |session| session.std());
        let tokens = token::memorydb(self.chain(iam), cluster, user.clone())
            .map_err(|what| self.problem(&["iam"], what, ""))?;
        let tokens = TokenLogin { user: Some(user), tokens, session: Some(session) };
        Ok(Logins { login: None, tokens: Some(tokens) })
    }
}

fn by_tokens(tokens: Tokens) -> Logins {
    Logins { login: None, tokens: Some(TokenLogin { user: None, tokens, session: None }) }
}
