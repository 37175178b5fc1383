//! The service: each RPC is a request, an answer, and how the contract tells it.

use std::sync::Arc;
use std::time::Instant;

use syva_actors::outcome::Done;
use syva_actors::{CommandError, Engine, Request as Ask};
use syva_model::admit::RefusalKind;
use syva_model::command::Pod;
use syva_model::image::{CgroupId, Pair, ZoneId};
use syva_model::state::State;
use tokio::sync::watch::Receiver;
use tokio_stream::StreamExt as _;
use tokio_stream::wrappers::{ReceiverStream, WatchStream};
use tonic::{Request, Response, Status};
use tracing::Instrument as _;

use super::status::Known;
use super::trailers::NotEnforced;
use super::{claimants, convert, journal, listing, refuse, status, trace, watch};
use crate::v1;
use crate::v1::syva_core_server::SyvaCore;

type Reply<T> = Result<Response<T>, Status>;
type Stream<T> = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<T, Status>> + Send>>;

/// `syva.core.v1` over an engine.
pub struct Service {
    engine: Arc<Engine>,
    since: Instant,
    /// Turns true when serving is to end.
    stopped: Receiver<bool>,
}

impl Service {
    /// A service that counts its uptime from now, and ends its endless streams with `stopped`.
    pub fn new(engine: Arc<Engine>, stopped: Receiver<bool>) -> Service {
        Service {
            engine,
            since: Instant::now(),
            stopped,
        }
    }

    /// Runs a command; the message is turned into a request by `ask`.
    async fn run<T>(
        &self,
        request: Request<T>,
        ask: impl FnOnce(T) -> Result<Ask, Status>,
    ) -> Result<Result<Done, CommandError>, Status> {
        let peer = convert::peer(&request)?;
        let span = trace::command::<T>(&peer);
        let submitted = self.engine.submit(ask(request.into_inner())?, peer);
        let outcome = submitted.instrument(span.clone()).await;
        trace::answered(&span, &outcome);
        Ok(outcome)
    }

    /// Runs a command that is done or fails.
    async fn done<T>(
        &self,
        request: Request<T>,
        ask: impl FnOnce(T) -> Result<Ask, Status>,
    ) -> Result<Done, Status> {
        self.run(request, ask)
            .await?
            .map_err(|error| refuse::status(&error))
    }

    /// Runs a command whose refusals of these kinds are told as `ok=false` and a reason.
    async fn said<T>(
        &self,
        request: Request<T>,
        kinds: &[RefusalKind],
        ask: impl FnOnce(T) -> Result<Ask, Status>,
    ) -> Result<(bool, String), Status> {
        match self.run(request, ask).await? {
            Ok(done) => Ok((true, done.reply.message)),
            Err(error) => refuse::as_reason(&error, kinds).map(|reason| (false, reason)),
        }
    }

    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&State, u64) -> T + Send + 'static,
    ) -> Result<T, Status> {
        let asked = self
            .engine
            .ask(move |glance| question(glance.state, glance.applied));
        asked.await.map_err(refuse::gone)
    }
}

#[tonic::async_trait]
impl SyvaCore for Service {
    async fn register_zone(
        &self,
        request: Request<v1::RegisterZoneRequest>,
    ) -> Reply<v1::RegisterZoneResponse> {
        let done = self
            .done(request, |m| {
                let policy = m.policy.map(convert::policy).transpose()?;
                Ok(Ask::RegisterZone {
                    zone: m.zone_name,
                    policy,
                })
            })
            .await?;
        let told = done.reply;
        let mut response = Response::new(v1::RegisterZoneResponse {
            zone_id: told.zone.unwrap_or(ZoneId::HOST).0,
            notes: told.notes,
        });
        response
            .extensions_mut()
            .insert(NotEnforced(told.not_enforced));
        Ok(response)
    }

    async fn remove_zone(
        &self,
        request: Request<v1::RemoveZoneRequest>,
    ) -> Reply<v1::RemoveZoneResponse> {
        let ask = |m: v1::RemoveZoneRequest| {
            Ok(Ask::RemoveZone {
                zone: m.zone_name,
                drain: m.drain,
            })
        };
        let (ok, message) = self.said(request, &[RefusalKind::Conflict], ask).await?;
        Ok(Response::new(v1::RemoveZoneResponse { ok, message }))
    }

    async fn list_zones(&self, _: Request<v1::ListZonesRequest>) -> Reply<v1::ListZonesResponse> {
        let zones = self
            .ask(|state, applied| {
                let zones = state.zones.iter().map(|(name, zone)| v1::ZoneSummary {
                    name: name.to_string(),
                    zone_id: zone.id.0,
                    state: match zone {
                        zone if zone.seq > applied => "pending",
                        zone if zone.draining => "draining",
                        _ => "active",
                    }
                    .to_owned(),
                    containers_active: u32::try_from(state.members_in(zone.id)).unwrap_or(u32::MAX),
                    policy: Some(convert::zone_policy(state, zone)),
                    mode: state.mode_of(zone).name().to_owned(),
                    own_mode: zone.mode.is_some(),
                    not_enforced: zone.policy.not_enforced(),
                });
                zones.collect()
            })
            .await?;
        Ok(Response::new(v1::ListZonesResponse { zones }))
    }

    async fn attach_container(
        &self,
        request: Request<v1::AttachContainerRequest>,
    ) -> Reply<v1::AttachContainerResponse> {
        use RefusalKind::{Conflict, Exhausted, NotFound, Stale};
        let kinds = [NotFound, Conflict, Stale, Exhausted];
        let ask = |m: v1::AttachContainerRequest| {
            Ok(Ask::Attach {
                container: m.container_id,
                zone: m.zone_name,
                cgroup: CgroupId(m.cgroup_id),
                pod: Pod {
                    namespace: m.pod_namespace,
                    name: m.pod_name,
                    uid: m.pod_uid,
                },
                source: m.source,
                generation: m.generation,
            })
        };
        let (ok, message) = self.said(request, &kinds, ask).await?;
        Ok(Response::new(v1::AttachContainerResponse { ok, message }))
    }

    async fn detach_container(
        &self,
        request: Request<v1::DetachContainerRequest>,
    ) -> Reply<v1::DetachContainerResponse> {
        let ask = |m: v1::DetachContainerRequest| {
            let (source, generation) = (m.source, m.generation);
            Ok(Ask::Detach {
                container: m.container_id,
                source,
                generation,
            })
        };
        let kinds = [RefusalKind::Conflict, RefusalKind::Stale];
        let (ok, message) = self.said(request, &kinds, ask).await?;
        Ok(Response::new(v1::DetachContainerResponse { ok, message }))
    }

    async fn allow_comm(
        &self,
        request: Request<v1::AllowCommRequest>,
    ) -> Reply<v1::AllowCommResponse> {
        self.done(request, |m| Ok(Ask::AllowComm(m.zone_a, m.zone_b)))
            .await?;
        Ok(Response::new(v1::AllowCommResponse { ok: true }))
    }

    async fn deny_comm(
        &self,
        request: Request<v1::DenyCommRequest>,
    ) -> Reply<v1::DenyCommResponse> {
        self.done(request, |m| Ok(Ask::DenyComm(m.zone_a, m.zone_b)))
            .await?;
        Ok(Response::new(v1::DenyCommResponse { ok: true }))
    }

    async fn list_comms(
        &self,
        request: Request<v1::ListCommsRequest>,
    ) -> Reply<v1::ListCommsResponse> {
        let name = request.into_inner().zone_name;
        let pairs = self
            .ask(move |state, _| {
                let zone = listing::only(state, &name)?;
                let wanted = |pair: &&Pair| zone.is_none_or(|zone| pair.contains(zone));
                let pairs = state
                    .open_pairs()
                    .iter()
                    .filter(wanted)
                    .map(|pair| v1::CommPair {
                        zone_a: state.zone_label(pair.low()),
                        zone_b: state.zone_label(pair.high()),
                    });
                Ok::<_, Status>(pairs.collect())
            })
            .await??;
        Ok(Response::new(v1::ListCommsResponse { pairs }))
    }

    async fn set_ip_zone(&self, _: Request<v1::SetIpZoneRequest>) -> Reply<v1::SetIpZoneResponse> {
        Err(no_ip_zones())
    }

    async fn remove_ip_zone(
        &self,
        _: Request<v1::RemoveIpZoneRequest>,
    ) -> Reply<v1::RemoveIpZoneResponse> {
        Err(no_ip_zones())
    }

    async fn register_host_path(
        &self,
        request: Request<v1::RegisterHostPathRequest>,
    ) -> Reply<v1::RegisterHostPathResponse> {
        let done = self
            .done(request, |m| {
                let (zone, path, recursive) = (m.zone_name, m.path, m.recursive);
                Ok(Ask::RegisterHostPath {
                    zone,
                    path,
                    recursive,
                })
            })
            .await?;
        let notes = done.reply.notes;
        Ok(Response::new(v1::RegisterHostPathResponse {
            inodes_registered: 1,
            notes,
        }))
    }

    async fn status(&self, _: Request<v1::StatusRequest>) -> Reply<v1::StatusResponse> {
        let known = self.ask(Known::of).await?;
        let health = self.engine.health().borrow().clone();
        let counters = self.engine.counters().await;
        let counters = counters.map_err(|error| Status::internal(error.to_string()))?;
        Ok(Response::new(v1::StatusResponse {
            uptime_secs: self.since.elapsed().as_secs(),
            max_zones: self.engine.max_zones(),
            events_dropped: self.engine.events_dropped(),
            drift_repaired: self.engine.drift_repaired(),
            ..status::reply(known, &health, &counters)
        }))
    }

    type WatchEventsStream = Stream<v1::DenyEvent>;

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Reply<Stream<v1::DenyEvent>> {
        let events = self.engine.subscribe(request.into_inner().follow).await;
        let events = ReceiverStream::new(events.map_err(refuse::gone)?);
        let events = events.map(|delivery| Some(Ok(watch::event(&delivery))));
        // None ends the stream: there are no more events, or serving is to end.
        let stopped = WatchStream::new(self.stopped.clone()).filter(|stopped| *stopped);
        let ended = events.chain(tokio_stream::once(None));
        let ended = ended.merge(stopped.map(|_| None));
        Ok(Response::new(Box::pin(ended.map_while(|event| event))))
    }

    type ReadJournalStream = Stream<v1::JournalEntry>;

    async fn read_journal(
        &self,
        request: Request<v1::ReadJournalRequest>,
    ) -> Reply<Stream<v1::JournalEntry>> {
        let entries = journal::stream(self.engine.journal(), request.into_inner());
        Ok(Response::new(Box::pin(ReceiverStream::new(entries))))
    }

    type ReadHorizonStream = Stream<v1::HorizonPart>;

    async fn read_horizon(
        &self,
        _: Request<v1::ReadHorizonRequest>,
    ) -> Reply<Stream<v1::HorizonPart>> {
        let parts = journal::horizon(&self.engine.journal());
        Ok(Response::new(Box::pin(tokio_stream::iter(parts))))
    }

    async fn state_digest(
        &self,
        _: Request<v1::StateDigestRequest>,
    ) -> Reply<v1::StateDigestResponse> {
        let (seq, head, digest) = self
            .ask(|state, _| (state.seq(), state.head, state.digest()))
            .await?;
        let digest = digest.map_err(|error| Status::internal(error.to_string()))?;
        let (digest, head) = (digest.0.to_vec(), head.0.to_vec());
        Ok(Response::new(v1::StateDigestResponse { seq, digest, head }))
    }

    async fn list_containers(
        &self,
        request: Request<v1::ListContainersRequest>,
    ) -> Reply<v1::ListContainersResponse> {
        let name = request.into_inner().zone_name;
        let containers = self
            .ask(move |state, _| listing::containers(state, &name))
            .await??;
        Ok(Response::new(v1::ListContainersResponse { containers }))
    }

    async fn list_host_paths(
        &self,
        request: Request<v1::ListHostPathsRequest>,
    ) -> Reply<v1::ListHostPathsResponse> {
        let name = request.into_inner().zone_name;
        let paths = self
            .ask(move |state, _| listing::host_paths(state, &name))
            .await??;
        let paths = claimants::told(self.engine.journal(), paths).await?;
        Ok(Response::new(v1::ListHostPathsResponse { paths }))
    }

    async fn remove_host_path(
        &self,
        request: Request<v1::RemoveHostPathRequest>,
    ) -> Reply<v1::RemoveHostPathResponse> {
        let ask = |m: v1::RemoveHostPathRequest| {
            let (zone, path) = (m.zone_name, m.path);
            Ok(Ask::RemoveHostPath { zone, path })
        };
        let (ok, message) = self.said(request, &[RefusalKind::Conflict], ask).await?;
        Ok(Response::new(v1::RemoveHostPathResponse { ok, message }))
    }

    async fn allow_host_socket(
        &self,
        request: Request<v1::AllowHostSocketRequest>,
    ) -> Reply<v1::AllowHostSocketResponse> {
        let ask = |m: v1::AllowHostSocketRequest| {
            let (zone, path) = (m.zone_name, m.path);
            Ok(Ask::AllowHostSocket { zone, path })
        };
        let reply = self.done(request, ask).await?.reply;
        let (message, notes) = (reply.message, reply.notes);
        Ok(Response::new(v1::AllowHostSocketResponse {
            message,
            notes,
        }))
    }

    async fn deny_host_socket(
        &self,
        request: Request<v1::DenyHostSocketRequest>,
    ) -> Reply<v1::DenyHostSocketResponse> {
        let ask = |m: v1::DenyHostSocketRequest| {
            let (zone, path) = (m.zone_name, m.path);
            Ok(Ask::DenyHostSocket { zone, path })
        };
        let message = self.done(request, ask).await?.reply.message;
        Ok(Response::new(v1::DenyHostSocketResponse { message }))
    }

    async fn list_host_sockets(
        &self,
        request: Request<v1::ListHostSocketsRequest>,
    ) -> Reply<v1::ListHostSocketsResponse> {
        let name = request.into_inner().zone_name;
        let sockets = self
            .ask(move |state, _| listing::host_sockets(state, &name))
            .await??;
        Ok(Response::new(v1::ListHostSocketsResponse { sockets }))
    }

    async fn set_mode(&self, request: Request<v1::SetModeRequest>) -> Reply<v1::SetModeResponse> {
        let done = self.done(request, convert::mode).await?;
        let message = done.reply.message;
        Ok(Response::new(v1::SetModeResponse { message }))
    }
}

fn no_ip_zones() -> Status {
    Status::unimplemented(
        "addresses are not assigned to zones yet: nothing mediates the network, so nothing would \
         come of it",
    )
}
