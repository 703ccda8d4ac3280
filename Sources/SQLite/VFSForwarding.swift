internal import CSQLite

extension sqlite3_vfs {
  /// Registers a VFS that does what the system's does, but for `open`; its files are shells in front of the system's. For the life of
  /// the process.
  ///
  /// - Returns: whether SQLite took it.
  static func registerShell(
    _ name: String,
    open:
      @escaping @convention(c) (
        UnsafeMutablePointer<sqlite3_vfs>?, UnsafePointer<CChar>?, UnsafeMutablePointer<sqlite3_file>?, CInt,
        UnsafeMutablePointer<CInt>?
      ) -> CInt
  ) -> Bool {
    guard let below = sqlite3_vfs_find(nil) else { return false }
    let vfs = UnsafeMutablePointer<sqlite3_vfs>.allocate(capacity: 1)
    vfs.initialize(to: sqlite3_vfs())
    vfs.pointee.forwardToDefault(below)
    vfs.pointee.zName = UnsafePointer(csqlite_copy_text(name))
    vfs.pointee.xOpen = open
    return sqlite3_vfs_register(vfs, 0) == SQLITE_OK
  }

  /// Makes everything but opening files what the system's VFS does; `xOpen` and the name are still to be set.
  mutating func forwardToDefault(_ below: UnsafeMutablePointer<sqlite3_vfs>) {
    iVersion = 1
    mxPathname = below.pointee.mxPathname
    szOsFile = CInt(MemoryLayout<csqlite_file>.stride) + below.pointee.szOsFile
    xDelete = { _, name, sync in
      let below = sqlite3_vfs_find(nil)!
      return below.pointee.xDelete(below, name, sync)
    }
    xAccess = { _, name, flags, result in
      let below = sqlite3_vfs_find(nil)!
      return below.pointee.xAccess(below, name, flags, result)
    }
    xFullPathname = { _, name, count, out in
      let below = sqlite3_vfs_find(nil)!
      return below.pointee.xFullPathname(below, name, count, out)
    }
    xRandomness = { _, count, out in
      let below = sqlite3_vfs_find(nil)!
      return below.pointee.xRandomness(below, count, out)
    }
    xSleep = { _, microseconds in
      let below = sqlite3_vfs_find(nil)!
      return below.pointee.xSleep(below, microseconds)
    }
    xCurrentTime = { _, out in
      let below = sqlite3_vfs_find(nil)!
      return below.pointee.xCurrentTime(below, out)
    }
    xGetLastError = { _, count, out in
      let below = sqlite3_vfs_find(nil)!
      return below.pointee.xGetLastError(below, count, out)
    }
  }
}

/// Opens a main database as a shell whose object `open` makes; everything else is the system's own file, in the same place.
///
/// - Parameter open: calls what it is given to open the file below, once. Where that failed, its object is not used.
func openShell<Object: AnyObject>(
  _ name: UnsafePointer<CChar>?, _ file: UnsafeMutablePointer<sqlite3_file>, _ flags: CInt,
  _ outFlags: UnsafeMutablePointer<CInt>?, _ methods: UnsafeMutablePointer<sqlite3_io_methods>,
  _ open: (_ openBelow: () -> CInt) -> (code: CInt, object: Object)
) -> CInt {
  // A null method table tells SQLite that there is nothing to close.
  file.pointee.pMethods = nil
  let below = sqlite3_vfs_find(nil)!
  guard flags & SQLITE_OPEN_MAIN_DB != 0 else { return below.pointee.xOpen(below, name, file, flags, outFlags) }
  let shell = UnsafeMutableRawPointer(file).assumingMemoryBound(to: csqlite_file.self)
  let (code, object) = open { below.pointee.xOpen(below, name, csqlite_file_below(shell)!, flags, outFlags) }
  guard code == SQLITE_OK else { return code }
  shell.pointee.object = Unmanaged.passRetained(object).toOpaque()
  file.pointee.pMethods = UnsafePointer(methods)
  return SQLITE_OK
}

/// Closes the file below a shell of `openShell`, and lets go of the shell's object.
func closeShell<Object: AnyObject>(_ file: UnsafeMutablePointer<sqlite3_file>, of _: Object.Type) -> CInt {
  let shell = UnsafeMutableRawPointer(file).assumingMemoryBound(to: csqlite_file.self)
  Unmanaged<Object>.fromOpaque(shell.pointee.object!).release()
  let below = csqlite_file_below(shell)!
  return below.pointee.pMethods.pointee.xClose(below)
}

/// The file that a shell of ours stands in front of.
func belowShell(_ file: UnsafeMutablePointer<sqlite3_file>) -> UnsafeMutablePointer<sqlite3_file> {
  csqlite_file_below(UnsafeMutableRawPointer(file).assumingMemoryBound(to: csqlite_file.self))!
}

extension sqlite3_io_methods {
  /// The methods of a shell that leaves everything to the file below it. Version 2: shared memory, but no mapping of the file.
  static func forwardingToShell() -> sqlite3_io_methods {
    var table = sqlite3_io_methods()
    table.iVersion = 2
    table.xClose = { file in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xClose(below)
    }
    table.xRead = { file, out, count, offset in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xRead(below, out, count, offset)
    }
    table.xWrite = { file, bytes, count, offset in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xWrite(below, bytes, count, offset)
    }
    table.xTruncate = { file, size in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xTruncate(below, size)
    }
    table.xSync = { file, flags in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xSync(below, flags)
    }
    table.xFileSize = { file, out in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xFileSize(below, out)
    }
    table.xLock = { file, level in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xLock(below, level)
    }
    table.xUnlock = { file, level in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xUnlock(below, level)
    }
    table.xCheckReservedLock = { file, out in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xCheckReservedLock(below, out)
    }
    table.xFileControl = { file, operation, argument in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xFileControl(below, operation, argument)
    }
    table.xSectorSize = { file in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xSectorSize(below)
    }
    table.xDeviceCharacteristics = { file in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xDeviceCharacteristics(below)
    }
    table.xShmMap = { file, region, size, extend, out in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xShmMap(below, region, size, extend, out)
    }
    table.xShmLock = { file, offset, count, flags in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xShmLock(below, offset, count, flags)
    }
    table.xShmBarrier = { file in
      let below = belowShell(file!)
      below.pointee.pMethods.pointee.xShmBarrier(below)
    }
    table.xShmUnmap = { file, delete in
      let below = belowShell(file!)
      return below.pointee.pMethods.pointee.xShmUnmap(below, delete)
    }
    return table
  }
}
