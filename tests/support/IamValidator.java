import java.nio.charset.StandardCharsets;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.Arrays;
import java.util.Base64;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.stream.Collectors;
import javax.crypto.Mac;
import javax.crypto.spec.SecretKeySpec;
import javax.security.auth.callback.Callback;
import javax.security.auth.callback.UnsupportedCallbackException;
import javax.security.auth.login.AppConfigurationEntry;
import org.apache.kafka.common.errors.SaslAuthenticationException;
import org.apache.kafka.common.security.auth.AuthenticateCallbackHandler;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerToken;
import org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallback;

/**
 * Stands in for MSK where a client logs in by IAM: decodes the token, recomputes its signature
 * (AWS's documentation of SigV4) with the secrets that its JAAS line gives as iam_KEY="SECRET", and
 * demands iam_region. Refuses as MSK does, in the same words whatever the reason; the reason is in
 * the log.
 */
public class IamValidator implements AuthenticateCallbackHandler {
    private static final DateTimeFormatter STAMP =
        DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);
    private Map<String, ?> options;

    @Override
    public void configure(
            Map<String, ?> configs, String mechanism, List<AppConfigurationEntry> jaas) {
        options = jaas.get(0).getOptions();
    }

    @Override
    public void handle(Callback[] callbacks) throws UnsupportedCallbackException {
        for (Callback callback : callbacks) {
            if (!(callback instanceof OAuthBearerValidatorCallback)) {
                throw new UnsupportedCallbackException(callback);
            }
            OAuthBearerValidatorCallback asked = (OAuthBearerValidatorCallback) callback;
            try {
                asked.token(judged(asked.tokenValue()));
            } catch (RuntimeException | GeneralSecurityException reason) {
                System.out.println("IAM refused: " + reason.getMessage());
                throw new SaslAuthenticationException("[" + UUID.randomUUID() + "]: Access denied");
            }
        }
    }

    private OAuthBearerToken judged(String token) throws GeneralSecurityException {
        String url = new String(Base64.getUrlDecoder().decode(token), StandardCharsets.UTF_8);
        String region = (String) options.get("iam_region");
        String host = "kafka." + region + ".amazonaws.com";
        String before = "https://" + host + "/?";
        demand(url.startsWith(before), "not for " + host);
        Map<String, String> query = new TreeMap<>();
        for (String pair : url.substring(before.length()).split("&")) {
            String[] both = pair.split("=", 2);
            query.put(both[0], both.length == 2 ? both[1] : "");
        }
        // Added after the signature, as by AWS's own signers.
        query.remove("User-Agent");
        String signature = query.remove("X-Amz-Signature");
        demand("kafka-cluster%3AConnect".equals(query.get("Action")), "another action");
        demand("AWS4-HMAC-SHA256".equals(query.get("X-Amz-Algorithm")), "another algorithm");
        String[] scope = query.get("X-Amz-Credential").split("%2F");
        String stamp = query.get("X-Amz-Date");
        String day = stamp.substring(0, 8);
        String[] wanted = {scope[0], day, region, "kafka-cluster", "aws4_request"};
        demand(Arrays.equals(scope, wanted), "another scope: " + String.join("/", scope));
        long signed = Instant.from(STAMP.parse(stamp)).toEpochMilli();
        long until = signed + 1000 * Long.parseLong(query.get("X-Amz-Expires"));
        long now = System.currentTimeMillis();
        demand(until - signed <= 900_000, "it would count for more than 900 s");
        demand(now < until, "it is over");
        demand(Math.abs(now - signed) < 900_000 && signed < now + 300_000, "the clocks differ");
        String secret = (String) options.get("iam_" + scope[0]);
        demand(secret != null, "an unknown key");

        String canonical = query.entrySet().stream()
            .map(pair -> pair.getKey() + "=" + pair.getValue()).collect(Collectors.joining("&"));
        String request = "GET\n/\n" + canonical + "\nhost:" + host + "\n\nhost\n" + hash("");
        String[] parts = Arrays.copyOfRange(wanted, 1, 5);
        String text =
            "AWS4-HMAC-SHA256\n" + stamp + "\n" + String.join("/", parts) + "\n" + hash(request);
        byte[] key = ("AWS4" + secret).getBytes(StandardCharsets.UTF_8);
        for (String part : parts) {
            key = mac(key, part);
        }
        demand(HexFormat.of().formatHex(mac(key, text)).equals(signature), "another secret");
        return new Accepted(token, scope[0], signed, until);
    }

    private static void demand(boolean right, String otherwise) {
        if (!right) {
            throw new IllegalArgumentException(otherwise);
        }
    }

    private static String hash(String text) throws GeneralSecurityException {
        MessageDigest sha = MessageDigest.getInstance("SHA-256");
        return HexFormat.of().formatHex(sha.digest(text.getBytes(StandardCharsets.UTF_8)));
    }

    private static byte[] mac(byte[] key, String text) throws GeneralSecurityException {
        Mac mac = Mac.getInstance("HmacSHA256");
        mac.init(new SecretKeySpec(key, "HmacSHA256"));
        return mac.doFinal(text.getBytes(StandardCharsets.UTF_8));
    }

    @Override
    public void close() {}

    /** Whose it is and until when, for the session of the connection. */
    private static final class Accepted implements OAuthBearerToken {
        private final String value;
        private final String key;
        private final long from;
        private final long until;

        Accepted(String value, String key, long from, long until) {
            this.value = value;
            this.key = key;
            this.from = from;
            this.until = until;
        }

        @Override
        public String value() {
            return value;
        }

        @Override
        public Set<String> scope() {
            return Set.of();
        }

        @Override
        public long lifetimeMs() {
            return until;
        }

        @Override
        public String principalName() {
            return key;
        }

        @Override
        public Long startTimeMs() {
            return from;
        }
    }
}
