internal import CSQLite

extension sqlite3_vfs {
  /// Makes everything but opening files what the system's VFS does; `xOpen`, the name and the size of a file are still to be set.
  mutating func forwardToDefault(_ below: UnsafeMutablePointer<sqlite3_vfs>) {
    iVersion = 1
    mxPathname = below.pointee.mxPathname
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
