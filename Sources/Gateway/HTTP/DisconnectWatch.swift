import Hummingbird
import NIOCore

/// What a route knows of its connection.
struct GatewayContext: RequestContext {
  var coreContext: CoreRequestContextStorage
  let channel: any Channel

  init(source: ApplicationRequestContextSource) {
    coreContext = CoreRequestContextStorage(source: source)
    channel = source.channel
  }
}

/// Abandons the answer in progress when its client leaves: a scan that finds nothing writes nothing, and would otherwise run on.
///
/// An answer announces itself by an outbound user event; the next one of the same connection takes its place.
final class DisconnectWatch: ChannelDuplexHandler, RemovableChannelHandler {
  typealias InboundIn = Never
  typealias OutboundIn = Never

  struct AnswerBegins: Sendable {
    let output: StreamedOutput
  }

  private weak var output: StreamedOutput?
  private var isGone = false

  func triggerUserOutboundEvent(context: ChannelHandlerContext, event: Any, promise: EventLoopPromise<Void>?) {
    guard let begins = event as? AnswerBegins else {
      return context.triggerUserOutboundEvent(event, promise: promise)
    }
    output = begins.output
    if isGone { begins.output.abandon() }
    promise?.succeed()
  }

  func userInboundEventTriggered(context: ChannelHandlerContext, event: Any) {
    // A client that closes only its own direction is taken to be gone too: none does that and waits for rows.
    if let event = event as? ChannelEvent, event == .inputClosed { leave() }
    context.fireUserInboundEventTriggered(event)
  }

  func channelInactive(context: ChannelHandlerContext) {
    leave()
    context.fireChannelInactive()
  }

  private func leave() {
    isGone = true
    output?.abandon()
  }
}
