internal import Synchronization

/// Who wants to hear of each change of the image.
final class ImageObservers: Sendable {
  private let observers = Mutex<[@Sendable () -> Void]>([])

  /// - Returns: after the first call.
  func add(_ observer: @escaping @Sendable () -> Void) {
    observers.withLock { $0.append(observer) }
    observer()
  }

  /// - Precondition: called without a lock that an observer may want: it asks for the image.
  func callAll() {
    for observer in observers.withLock({ $0 }) { observer() }
  }
}
