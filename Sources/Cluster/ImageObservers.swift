internal import Synchronization

/// Who wants to hear of each change of the image.
final class ImageObservers: Sendable {
  private struct Observer {
    let call: @Sendable () -> Void
  }

  private let observers = Mutex<[Observer]>([])

  /// - Returns: after the first call.
  func add(_ call: @escaping @Sendable () -> Void) {
    observers.withLock { $0.append(Observer(call: call)) }
    call()
  }

  /// - Precondition: called without a lock that an observer may want: it asks for the image.
  func callAll() {
    for observer in observers.withLock({ $0 }) { observer.call() }
  }
}
