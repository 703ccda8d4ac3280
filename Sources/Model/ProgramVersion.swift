/// The version of Quire, as `--version`, the ready line and the client's ApiVersions request say it.
public let programVersion = "0.1.0"
