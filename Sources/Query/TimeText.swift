/// UTC times as ISO 8601 text with milliseconds, `2024-05-01T09:00:00.000Z`: the column `time`.
///
/// Within the years 0000 to 9999 the text has a fixed length, so it orders as the times do.
public enum TimeText {
  /// 0000-01-01T00:00:00.000Z and 9999-12-31T23:59:59.999Z, milliseconds.
  public static let writable: ClosedRange<Int64> = -62_167_219_200_000...253_402_300_799_999
  public static let byteCount = 24

  /// The time's text, or nil where there is none: outside the years 0000 to 9999, and for -1, which means no timestamp.
  public static func text(_ milliseconds: Int64) -> String? {
    guard hasText(milliseconds) else { return nil }
    return String(unsafeUninitializedCapacity: byteCount) { buffer in
      write(milliseconds, to: UnsafeMutableRawBufferPointer(buffer))
      return byteCount
    }
  }

  public static func hasText(_ milliseconds: Int64) -> Bool { milliseconds != -1 && writable.contains(milliseconds) }

  /// Writes the 24 bytes of the text.
  /// - Precondition: `writable` contains `milliseconds`, and `out` has 24 bytes.
  public static func write(_ milliseconds: Int64, to out: UnsafeMutableRawBufferPointer) {
    precondition(writable.contains(milliseconds) && out.count >= byteCount, "a time without text")
    let sinceYearZero = UInt64(milliseconds - writable.lowerBound)
    let (dayNumber, ofDay) = sinceYearZero.quotientAndRemainder(dividingBy: 86_400_000)
    let (year, month, day) = date(daysSinceYearZero: Int(dayNumber))
    func put(_ value: Int, at index: Int, digits: Int) {
      var rest = value
      for i in stride(from: index + digits - 1, through: index, by: -1) {
        out[i] = UInt8(0x30 + rest % 10)
        rest /= 10
      }
    }
    let time = Int(ofDay)
    put(year, at: 0, digits: 4)
    out[4] = 0x2D
    put(month, at: 5, digits: 2)
    out[7] = 0x2D
    put(day, at: 8, digits: 2)
    out[10] = 0x54
    put(time / 3_600_000, at: 11, digits: 2)
    out[13] = 0x3A
    put(time / 60_000 % 60, at: 14, digits: 2)
    out[16] = 0x3A
    put(time / 1000 % 60, at: 17, digits: 2)
    out[19] = 0x2E
    put(time % 1000, at: 20, digits: 3)
    out[23] = 0x5A
  }

  /// The earliest writable time whose text is not less than `text` byte by byte; nil if all are less.
  ///
  /// Found by halving over the texts themselves, so any text at all is answered as a comparison of texts would be.
  static func first(notBefore text: UnsafeRawBufferPointer) -> Int64? {
    var low = writable.lowerBound
    var high = writable.upperBound + 1
    withUnsafeTemporaryAllocation(byteCount: byteCount, alignment: 1) { own in
      while low < high {
        let middle = low + (high - low) / 2
        write(middle, to: own)
        if UnsafeRawBufferPointer(own).lexicographicallyPrecedes(text) { low = middle + 1 } else { high = middle }
      }
    }
    return low > writable.upperBound ? nil : low
  }

  // The civil calendar counted in years that begin in March, so that the leap day is the last of its year.

  private static func date(daysSinceYearZero days: Int) -> (year: Int, month: Int, day: Int) {
    let shifted = days - 60  // 0000-03-01 is day 60 of the leap year 0
    let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
    let dayOfEra = shifted - era * 146_097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shiftedMonth = (5 * dayOfYear + 2) / 153
    let day = dayOfYear - (153 * shiftedMonth + 2) / 5 + 1
    let month = shiftedMonth < 10 ? shiftedMonth + 3 : shiftedMonth - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, day)
  }

  /// Days from 1970-01-01 to a date of the Gregorian calendar; nil if there is no such date.
  static func days(year: Int, month: Int, day: Int) -> Int? {
    guard (0...9999).contains(year), (1...12).contains(month), day >= 1 else { return nil }
    let isLeap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
    let lengths = [31, isLeap ? 29 : 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    guard day <= lengths[month - 1] else { return nil }
    let shiftedYear = month <= 2 ? year - 1 : year
    let era = (shiftedYear >= 0 ? shiftedYear : shiftedYear - 399) / 400
    let yearOfEra = shiftedYear - era * 400
    let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146_097 + dayOfEra - 719_468
  }
}
