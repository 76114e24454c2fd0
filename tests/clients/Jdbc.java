// pgJDBC with its defaults: server-side prepared statements from the fifth execution on, batches,
// transactions with savepoints, fetch sizes, COPY, metadata, cancels.
import java.io.StringReader;
import java.sql.*;
import java.util.*;
import java.util.concurrent.*;
import org.postgresql.PGConnection;

public class Jdbc {
    static final String URL = "jdbc:postgresql://" + env("PGHOST") + ":" + env("PGPORT") + "/" + env("PGDATABASE");

    static String env(String name) {
        return Objects.requireNonNull(System.getenv(name), name);
    }

    static Connection connect() throws SQLException {
        return DriverManager.getConnection(URL, env("PGUSER"), "");
    }

    static void expect(boolean ok, String what) {
        if (!ok)
            throw new AssertionError(what);
    }

    static void statements(Connection c, int who) throws SQLException {
        for (int text = 0; text < 5; text++)
            try (PreparedStatement s = c.prepareStatement("select ?::int + " + text)) {
                for (int n = 0; n < 12; n++) {
                    s.setInt(1, who);
                    try (ResultSet r = s.executeQuery()) {
                        expect(r.next() && r.getInt(1) == who + text, "a sum");
                    }
                }
            }
    }

    static void transactions(Connection c, int who) throws SQLException {
        c.setAutoCommit(false);
        c.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
        try (PreparedStatement s = c.prepareStatement("insert into c_jdbc (who, note) values (?, ?)")) {
            for (int n = 0; n < 50; n++) {
                s.setInt(1, who);
                s.setString(2, "batch " + n);
                s.addBatch();
            }
            expect(s.executeBatch().length == 50, "a batch");
        }
        Savepoint before = c.setSavepoint();
        try (Statement s = c.createStatement()) {
            s.execute("insert into c_jdbc (id) select id from c_jdbc limit 1");
            expect(false, "a duplicate key was taken");
        } catch (SQLException e) {
            expect("23505".equals(e.getSQLState()), e.getMessage());
        }
        c.rollback(before);
        try (Statement s = c.createStatement()) {
            s.setFetchSize(7);
            int rows = 0;
            try (ResultSet r = s.executeQuery("select * from c_jdbc where who = " + who)) {
                while (r.next())
                    rows++;
            }
            expect(rows == 50, rows + " rows");
        }
        c.commit();
        c.setAutoCommit(true);
    }

    static void others(Connection c, int who) throws Exception {
        long copied = c.unwrap(PGConnection.class).getCopyAPI()
            .copyIn("copy c_jdbc (who, note) from stdin", new StringReader(who + "\tcopied\n"));
        expect(copied == 1, "a row by COPY");
        try (ResultSet r = c.getMetaData().getColumns(null, "public", "c_jdbc", null)) {
            int columns = 0;
            while (r.next())
                columns++;
            expect(columns == 3, columns + " columns");
        }
        try (Statement s = c.createStatement()) {
            s.setQueryTimeout(1);
            s.execute("select pg_sleep(30)");
            expect(false, "pg_sleep was not cancelled");
        } catch (SQLException e) {
            expect("57014".equals(e.getSQLState()), e.getMessage());
        }
        expect(c.isValid(5), "valid");
    }

    static Void work(int who) throws Exception {
        try (Connection c = connect()) {
            statements(c, who);
            transactions(c, who);
            if (who < 2)
                others(c, who);
            statements(c, who);
        }
        return null;
    }

    public static void main(String[] args) throws Exception {
        try (Connection c = connect(); Statement s = c.createStatement()) {
            s.execute("create table c_jdbc (id serial primary key, who int, note text)");
        }
        ExecutorService threads = Executors.newFixedThreadPool(10);
        List<Future<Void>> all = new ArrayList<>();
        for (int who = 0; who < 20; who++) {
            int mine = who;
            all.add(threads.submit(() -> work(mine)));
        }
        threads.shutdown();
        for (Future<Void> f : all)
            f.get();
        try (Connection c = connect(); Statement s = c.createStatement()) {
            ResultSet r = s.executeQuery("select count(*) from c_jdbc");
            expect(r.next() && r.getInt(1) == 20 * 50 + 2, "all rows");
            s.execute("drop table c_jdbc");
        }
    }
}
