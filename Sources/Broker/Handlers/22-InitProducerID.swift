internal import Cluster
internal import KafkaProtocol
internal import Logging
internal import Model
internal import Storage

/// InitProducerId, versions 0 to 4: a producer id for an idempotent producer (KIP-98, KIP-360).
///
/// Ids come from durable blocks: none is ever given out twice, also not after a crash. Transactional ids are refused.
extension Call {
  func handle(_ request: InitProducerIDRequest) {
    var response = InitProducerIDResponse()
    response.producerID = -1
    response.producerEpoch = -1
    if let transactionalID = request.transactionalID {
      response.errorCode = transactionalID.isEmpty ? .invalidRequest : .transactionalIDAuthorizationFailed
      return reply(response)
    }
    // The id that a producer had (KIP-360) comes with its epoch; without transactions it gets a new one.
    guard (request.producerID == -1) == (request.producerEpoch == -1) else {
      response.errorCode = .invalidRequest
      return reply(response)
    }
    let broker = connection.broker
    let refused = response
    Task {
      var response = refused
      do throws(ClusterError) {
        response.producerID = try await broker.producerIDs.next()
        response.producerEpoch = 0
      } catch {
        // That a standby gives none is nobody's fault; the producer asks again and again.
        broker.logger.log(
          level: broker.store.takesAppends ? .error : .debug, "no producer id", metadata: ["error": "\(error)"])
        response.errorCode = .coordinatorNotAvailable
      }
      reply(response)
    }
  }
}
