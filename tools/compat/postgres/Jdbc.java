import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Timestamp;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** Debian's Postgres JDBC driver against a node: metadata, parameters, fetch size, cancel. Run from source. */
public class Jdbc {
  interface Body { void run() throws Exception; }

  static void check(String name, Body body) {
    try {
      body.run();
      System.out.println("ok JDBC: " + name);
    } catch (Throwable error) {
      System.out.println("not ok JDBC: " + name);
      error.printStackTrace();
    }
  }

  static void equal(Object actual, Object expected) {
    if (!expected.equals(actual)) throw new AssertionError("got " + actual + ", expected " + expected);
  }

  static List<String> column(ResultSet rows, String name) throws SQLException {
    List<String> values = new ArrayList<>();
    while (rows.next()) values.add(rows.getString(name));
    return values;
  }

  static final long FIRST = 1_700_000_000_000L;

  public static void main(String[] arguments) throws Exception {
    try (Connection connection = DriverManager.getConnection(arguments[0])) {
      DatabaseMetaData meta = connection.getMetaData();
      check("tables, columns, schemas", () -> {
        equal(column(meta.getTables(null, "public", "song\\_p%", new String[] {"TABLE"}), "TABLE_NAME"), List.of("song_plays"));
        equal(column(meta.getColumns(null, "public", "song_plays", null), "TYPE_NAME"),
            List.of("text", "int8", "int8", "int8", "timestamptz", "text", "text", "json"));
        equal(Set.copyOf(column(meta.getSchemas(), "TABLE_SCHEM")), Set.of("public", "pg_catalog", "information_schema"));
        equal(column(meta.getCatalogs(), "TABLE_CAT"), List.of("quire"));
      });
      check("keys, indexes, types and the rest of the metadata", () -> {
        equal(column(meta.getPrimaryKeys(null, "public", "song_plays"), "COLUMN_NAME"), List.of());
        equal(column(meta.getIndexInfo(null, "public", "song_plays", false, false), "INDEX_NAME"), List.of());
        equal(column(meta.getImportedKeys(null, "public", "song_plays"), "FK_NAME"), List.of());
        equal(column(meta.getExportedKeys(null, "public", "song_plays"), "FK_NAME"), List.of());
        if (!column(meta.getTypeInfo(), "TYPE_NAME").containsAll(List.of("int8", "text", "timestamptz", "json")))
          throw new AssertionError("types are missing");
        column(meta.getTableTypes(), "TABLE_TYPE");
        column(meta.getProcedures(null, null, null), "PROCEDURE_NAME");
        column(meta.getFunctions(null, null, null), "FUNCTION_NAME");
        column(meta.getTablePrivileges(null, null, "song_plays"), "PRIVILEGE");
        column(meta.getBestRowIdentifier(null, null, "song_plays", 1, true), "COLUMN_NAME");
        column(meta.getVersionColumns(null, null, "song_plays"), "COLUMN_NAME");
        column(meta.getUDTs(null, null, "%", null), "TYPE_NAME");
        meta.getSQLKeywords();
        meta.getMaxColumnNameLength();
      });
      check("a prepared statement, until the driver makes it a named one and asks for binary", () -> {
        String sql = "SELECT \"offset\", time, key, value::json, partition = ?, ? FROM song_plays"
            + " WHERE \"offset\" >= ? AND key = ? AND time >= ? ORDER BY time LIMIT 1";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
          for (int round = 0; round < 8; round++) {
            statement.setLong(1, 1);
            statement.setString(2, "x");
            statement.setLong(3, 0);
            statement.setString(4, "u1");
            statement.setTimestamp(5, new Timestamp(FIRST));
            ResultSet rows = statement.executeQuery();
            equal(rows.next(), true);
            equal(rows.getLong(1), 0L);
            equal(rows.getTimestamp(2).getTime(), FIRST + 1000);
            equal(rows.getString(3), "u1");
            equal(rows.getString(4), "{\"user\":\"u1\",\"seconds\":1}");
            equal(rows.getBoolean(5), true);
            equal(rows.getString(6), "x");
            ResultSetMetaData columns = rows.getMetaData();
            equal(columns.getColumnName(1) + " " + columns.getColumnTypeName(2) + " " + columns.getColumnClassName(5),
                "offset timestamptz java.lang.Boolean");
          }
        }
        try (PreparedStatement statement = connection.prepareStatement("SELECT count(*) FROM song_plays WHERE key = ANY (?)")) {
          statement.setArray(1, connection.createArrayOf("text", new String[] {"u1", "u2"}));
          ResultSet rows = statement.executeQuery();
          rows.next();
          equal(rows.getInt(1), 286);
        }
      });
      check("an error has its SQLSTATE, and a timeout cancels", () -> {
        try (Statement statement = connection.createStatement()) {
          statement.executeQuery("SELECT * FROM nowhere");
          throw new AssertionError("no error");
        } catch (SQLException error) { equal(error.getSQLState(), "42P01"); }
        try (Statement statement = connection.createStatement()) {
          statement.setQueryTimeout(1);
          statement.executeQuery("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n");
          throw new AssertionError("no error");
        } catch (SQLException error) { equal(error.getSQLState(), "57014"); }
        equal(connection.isValid(5), true);
        equal(connection.getSchema(), "public");
      });
      connection.setAutoCommit(false);
      check("fetch size", () -> {
        try (Statement statement = connection.createStatement()) {
          statement.setFetchSize(1000);
          ResultSet rows = statement.executeQuery("SELECT e.\"offset\", e.time, e.value, g"
              + " FROM events e, generate_series(1, " + arguments[1] + ") g");
          long count = 0;
          while (rows.next()) count++;
          System.out.println("rows " + count);
        }
        connection.commit();
      });
    }
  }
}
