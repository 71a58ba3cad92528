//! The texts of the claims and of their rules: `claims.yaml`, built into the binary.

use super::ClaimError;
use serde::Deserialize;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    pub claims: Vec<ClaimText>,
    pub uses: Vec<ClaimText>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimText {
    pub id: String,
    pub kafka: String,
    pub redis: String,
    /// What is or will be measured.
    pub metric: String,
    pub rule: String,
}

pub fn load() -> Result<Claims, ClaimError> {
    serde_saphyr::from_str(include_str!("claims.yaml")).map_err(|error| ClaimError::Data(error.to_string()))
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_eight_claims_stand_in_the_order_of_the_table() {
        let claims = super::load().unwrap();
        let ids: Vec<&str> = claims.claims.iter().map(|claim| claim.id.as_str()).collect();
        assert_eq!(
            ids,
            [
                "message-size",
                "delivery",
                "retention",
                "error-handling",
                "parallelism",
                "throughput",
                "latency",
                "fault-tolerance"
            ]
        );
        assert_eq!(claims.uses.len(), 4);
    }
}
