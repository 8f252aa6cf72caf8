//! One HTTP request, answered by an instance of its own while request and answer are under way.
//!
//! The instance ends with the request: when the answer is whole, when the client hangs up, and when nothing has moved for as
//! long as one call may take. What comes and goes is held back as long as the other side does not take it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::FutureExt;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use hyper::header::CONTENT_LENGTH;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p2::body::HyperOutgoingBody;
use wasmtime_wasi_http::{Error as WasiError, WasiHttpView};

use super::bindings::common::{Fault, FaultCode};
use super::call::CallError;
use super::component::{Code, metered};
use super::instance::{GuestInstance, Missing};
use super::meter::Meter;
use super::scope::Scope;
use prx_base::error::{Code as ErrorClass, Error};

/// The trailer by which a component says that its answer is not whole.
const BROKEN: &str = "x-prx-broken";

/// The body of a route's answer, as it comes. Dropping it before its end ends the work on it.
pub struct RouteBody {
    inner: HyperOutgoingBody,
    guest: Guest,
    /// Bytes that are still to come, where the answer says how long it is.
    left: Option<u64>,
    /// Nothing of the answer but its head is sent.
    is_head_only: bool,
    is_over: bool,
}

/// The call that answers, which ends with this.
struct Guest {
    call: JoinHandle<Result<(), CallError>>,
    meter: Arc<Meter>,
    goes_on: bool,
}

impl Drop for Guest {
    fn drop(&mut self) {
        if !self.goes_on {
            self.call.abort();
        }
    }
}

impl Code {
    /// Has the component answer a request. Returns once it has begun to answer. `ended` is told how the call ended, unless the
    /// client hangs up.
    ///
    /// # Errors
    /// See [`CallError`]: it has not begun to answer.
    pub async fn serve<B>(
        &self,
        request: Request<B>,
        scope: Scope,
        ended: impl FnOnce(Result<(), &CallError>) + Send + 'static,
    ) -> Result<Response<RouteBody>, CallError>
    where
        B: Body<Data = Bytes, Error = Error> + Send + 'static,
    {
        let linked = Arc::clone(&self.0);
        let meter = Meter::new(linked.shared.links.limits.cpu, &linked.share);
        let is_head_only = request.method() == Method::HEAD;
        let (sender, begun) = oneshot::channel();
        let call = {
            let (meter, heard) = (Arc::clone(&meter), Arc::clone(&meter));
            let request = request.map(|body| {
                let body = body.map_frame(move |frame| {
                    heard.hear();
                    frame
                });
                body.map_err(|error| unread(&error)).boxed_unsync()
            });
            async move {
                let lease = linked.lease().await?;
                metered(&linked, lease, &meter, scope, async move |instance| {
                    let GuestInstance { store, guest, .. } = instance;
                    let route = guest.route.as_ref().ok_or(Missing("routes"))?;
                    let mut http = store.data_mut().http();
                    let request = http.new_incoming_request(Scheme::Http, request)?;
                    let answer = http.new_response_outparam(sender)?;
                    route.call_handle(store, request, answer).await
                })
                .await
            }
        };
        let call = tokio::spawn(async move {
            let outcome = call.await;
            ended(outcome.as_ref().copied());
            outcome
        });
        let mut guest = Guest { call, meter, goes_on: false };
        match begun.await {
            Ok(Ok(response)) => Ok(answer(response, guest, is_head_only)),
            Ok(Err(code)) => Err(no_answer(format!("it answered with an error: {code}"))),
            // It has ended without a word.
            Err(_) => match (&mut guest.call).await {
                Ok(Ok(())) => Err(no_answer("it gave no answer".to_owned())),
                Ok(Err(error)) => Err(error),
                Err(_) => Err(CallError::Stopped),
            },
        }
    }
}

fn answer(response: Response<HyperOutgoingBody>, guest: Guest, is_head_only: bool) -> Response<RouteBody> {
    let length = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    let is_bodyless = matches!(response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let is_head_only = is_head_only || is_bodyless;
    response.map(|inner| RouteBody { inner, guest, left: length, is_head_only, is_over: false })
}

/// The body of a request that did not come whole, as the component is told.
fn unread(error: &Error) -> WasiError {
    match error.code() {
        ErrorClass::PayloadTooLarge => WasiError::HttpRequestBodySize(None),
        ErrorClass::RequestTimeout => WasiError::ConnectionReadTimeout,
        _ => WasiError::ConnectionTerminated,
    }
}

fn no_answer(message: String) -> CallError {
    CallError::Fault(Fault { code: FaultCode::Internal, message })
}

impl RouteBody {
    fn count(&mut self, frame: &Frame<Bytes>) {
        self.guest.meter.hear();
        let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
        self.left = self.left.map(|left| left.saturating_sub(bytes));
    }
}

impl Body for RouteBody {
    type Data = Bytes;
    type Error = CallError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CallError>>> {
        let this = &mut *self;
        if this.is_over {
            return Poll::Ready(None);
        }
        match ready!(Pin::new(&mut this.inner).poll_frame(cx)) {
            Some(Ok(frame)) => {
                this.count(&frame);
                match frame.trailers_ref() {
                    Some(trailers) if trailers.contains_key(BROKEN) => {
                        this.is_over = true;
                        Poll::Ready(Some(Err(no_answer("it gave up in the middle of its answer".to_owned()))))
                    }
                    // Others are for nobody here.
                    Some(_) => Poll::Ready(Some(Ok(Frame::data(Bytes::new())))),
                    None => Poll::Ready(Some(Ok(frame))),
                }
            }
            Some(Err(_)) => {
                this.is_over = true;
                Poll::Ready(Some(Err(no_answer("its answer is not as long as it says".to_owned()))))
            }
            // It looks the same whether the component has ended it or was ended itself.
            None => {
                let outcome = ready!(this.guest.call.poll_unpin(cx));
                this.is_over = true;
                match outcome {
                    Ok(Ok(())) => Poll::Ready(None),
                    Ok(Err(error)) => Poll::Ready(Some(Err(error))),
                    Err(_) => Poll::Ready(Some(Err(CallError::Stopped))),
                }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RouteBody {
    fn drop(&mut self) {
        // Who has sent all there is may end its work.
        self.guest.goes_on = self.is_head_only || self.left == Some(0);
    }
}
