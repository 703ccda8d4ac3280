public import Model

/// Why a page set was not read, or not applied. Nothing is changed by what threw it.
public enum PagesError: Error, Hashable, Sendable {
  /// The bytes are no page set: they begin with something else, or a hash does not fit them.
  case notPageSet(String)
  /// A page set of a version, or with a flag, that this program does not know.
  case unknownFormat(String)
  /// A page set that says what cannot be.
  case impossible(String)
  /// More than is taken at once.
  case tooLarge(bytes: Int, limit: Int)
  /// The database has pages of another size.
  case pageSizeMismatch(database: Int, set: Int)
  /// The database stands elsewhere than where the set goes on.
  case positionMismatch(database: CommitPosition, set: CommitPosition)
  /// The database has other pages than the set was made against.
  case stateMismatch(database: DatabaseSum, pages: Int, set: DatabaseSum, setPages: Int)
  /// With the set applied, the database would not be what it was where the set was made.
  case resultMismatch(result: DatabaseSum, set: DatabaseSum)
}

extension PagesError: CustomStringConvertible {
  public var description: String {
    switch self {
    case .notPageSet(let words): "this is no page set: \(words)"
    case .unknownFormat(let words): "\(words): a newer program may know it"
    case .impossible(let words): "a page set that cannot be: \(words)"
    case .tooLarge(let bytes, let limit): "a page set of \(bytes) bytes; at most \(limit) are taken"
    case .pageSizeMismatch(let database, let set): "the database has pages of \(database) bytes, the page set of \(set)"
    case .positionMismatch(let database, let set): "the database is at \(database), the page set goes on from \(set)"
    case .stateMismatch(let database, let pages, let set, let setPages):
      "the database has sum \(database) over \(pages) pages, the page set was made on \(set) over \(setPages)"
    case .resultMismatch(let result, let set): "the database would have sum \(result), but has to have \(set)"
    }
  }
}
