//! Asks any RPC server about itself, through remote management.

use super::{Client, ClientError, Failure, Peer, Settings, Step};
use crate::wire::binding::Binding;
use crate::wire::mgmt::{
    self, InqIfIdsResponse, InqPrincNameRequest, InqPrincNameResponse, InqStatsRequest,
    InqStatsResponse, IsServerListeningResponse,
};
use crate::wire::{EptStatus, SyntaxId};
use tokio::time::Instant;

/// A connection bound to a server's management interface.
pub struct Management {
    /// The connection.
    client: Client,
}

/// Statistics of a server: as many of these as it keeps, in this order.
pub const STATISTICS: [&str; 4] = ["calls_in", "calls_out", "packets_in", "packets_out"];

/// Room that is asked for a principal name, in octets with its NUL.
const PRINCIPAL_NAME: u32 = 1024;

impl Management {
    /// Connects to the server of a binding and binds to its management.
    ///
    /// # Errors
    /// At step `Resolve`, `Connect` or `Bind`.
    pub async fn connect(
        binding: &Binding,
        settings: impl Into<Settings>,
        deadline: Instant,
    ) -> Result<Management, ClientError> {
        let client = Client::connect(binding, SyntaxId::MGMT, settings, deadline).await?;
        Ok(Management { client })
    }

    /// Where the server was reached.
    pub fn peer(&self) -> &Peer {
        self.client.peer()
    }

    /// The interfaces that the server offers.
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is not ok.
    ///
    /// # Source
    /// C706 appendix Q, `rpc__mgmt_inq_if_ids`.
    pub async fn inq_if_ids(&mut self) -> Result<Vec<SyntaxId>, ClientError> {
        let reply = self.client.call(mgmt::INQ_IF_IDS, |_| ()).await?;
        let response = reply.decode(InqIfIdsResponse::decode)?;
        ok(response.status)?;
        Ok(response.interfaces().collect())
    }

    /// What the server has counted: see [`STATISTICS`].
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is not ok.
    ///
    /// # Source
    /// C706 appendix Q, `rpc__mgmt_inq_stats`.
    pub async fn inq_stats(&mut self) -> Result<Vec<u32>, ClientError> {
        let request = InqStatsRequest {
            count: STATISTICS.len() as u32,
        };
        let reply = self
            .client
            .call(mgmt::INQ_STATS, |out| request.encode(out))
            .await?;
        let response = reply.decode(InqStatsResponse::decode)?;
        ok(response.status)?;
        Ok(response.statistics)
    }

    /// Whether the server says that it listens.
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is not ok.
    ///
    /// # Source
    /// C706 appendix Q, `rpc__mgmt_is_server_listening`.
    pub async fn is_server_listening(&mut self) -> Result<bool, ClientError> {
        let reply = self.client.call(mgmt::IS_SERVER_LISTENING, |_| ()).await?;
        let response = reply.decode(IsServerListeningResponse::decode)?;
        ok(response.status)?;
        Ok(response.listening)
    }

    /// The server's principal name for an authentication service, as octets of
    /// no stated charset.
    ///
    /// # Errors
    /// At step `Call`; `Status` when it is not ok.
    ///
    /// # Source
    /// C706 appendix Q, `rpc__mgmt_inq_princ_name`.
    pub async fn inq_princ_name(&mut self, authn_proto: u32) -> Result<Vec<u8>, ClientError> {
        let request = InqPrincNameRequest {
            authn_proto,
            princ_name_size: PRINCIPAL_NAME,
        };
        let reply = self
            .client
            .call(mgmt::INQ_PRINC_NAME, |out| request.encode(out))
            .await?;
        let response = reply.decode(InqPrincNameResponse::decode)?;
        ok(response.status)?;
        Ok(response.princ_name.into_owned())
    }
}

/// An error unless the status is ok.
pub(super) fn ok(status: EptStatus) -> Result<(), ClientError> {
    match status {
        EptStatus::OK => Ok(()),
        other => Err(ClientError::new(Step::Call, Failure::Status(other))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Answer, Fake, assert_fails, generous, response};
    use super::*;
    use crate::client::Encoding;
    use crate::wire::FaultStatus;

    #[tokio::test]
    async fn what_a_server_tells_is_read() {
        let fake = Fake::bound(|opnum, stub| match opnum {
            mgmt::INQ_IF_IDS => {
                let told = InqIfIdsResponse::new([SyntaxId::EPT], EptStatus::OK);
                response(&stub, |out| told.encode(out))
            }
            mgmt::INQ_STATS => {
                assert_eq!(InqStatsRequest::decode(stub).unwrap().count, 4);
                let statistics = vec![1, 2, 3, 4];
                response(&stub, |out| {
                    InqStatsResponse {
                        statistics,
                        status: EptStatus::OK,
                    }
                    .encode(out)
                })
            }
            mgmt::IS_SERVER_LISTENING => {
                let told = IsServerListeningResponse {
                    status: EptStatus::OK,
                    listening: true,
                };
                response(&stub, |out| told.encode(out))
            }
            _ => {
                let asked = InqPrincNameRequest::decode(stub).unwrap();
                let told = InqPrincNameResponse {
                    princ_name_size: asked.princ_name_size,
                    princ_name: b"host/mapper".into(),
                    status: EptStatus::OK,
                };
                response(&stub, |out| told.encode(out))
            }
        });
        let mut management = Management::connect(&fake.binding, Encoding::Any, generous())
            .await
            .unwrap();
        assert_eq!(management.inq_if_ids().await.unwrap(), [SyntaxId::EPT]);
        assert_eq!(management.inq_stats().await.unwrap(), [1, 2, 3, 4]);
        assert!(management.is_server_listening().await.unwrap());
        assert_eq!(management.inq_princ_name(16).await.unwrap(), b"host/mapper");
    }

    #[tokio::test]
    async fn refusals_come_as_status_or_fault() {
        let fake = Fake::bound(|opnum, stub| match opnum {
            mgmt::INQ_STATS => {
                let status = EptStatus::NOT_SUPPORTED;
                let told = InqStatsResponse {
                    statistics: Vec::new(),
                    status,
                };
                response(&stub, |out| told.encode(out))
            }
            _ => Answer::Fault(FaultStatus::ACCESS_DENIED),
        });
        let mut management = Management::connect(&fake.binding, Encoding::Any, generous())
            .await
            .unwrap();
        assert_fails(management.inq_stats().await, Step::Call, |failure| {
            matches!(failure, Failure::Status(EptStatus::NOT_SUPPORTED))
        });
        assert_fails(management.inq_if_ids().await, Step::Call, |failure| {
            matches!(failure, Failure::Fault(FaultStatus::ACCESS_DENIED))
        });
    }
}
