// Clients of the official Java SDK, for tests. It takes the same argument and calls, and prints the same events, as
// test/python/clients.py. The SDK speaks protobuf only.
import io.github.centrifugal.centrifuge.*;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.json.JSONArray;
import org.json.JSONObject;
import org.json.JSONTokener;

public class Clients {
  static synchronized void emit(int client, String event, Map<String, ?> more) {
    JSONObject line = new JSONObject(more).put("client", client).put("event", event);
    System.out.println(line);
  }

  /** The value of a payload, which has JSON in its bytes; null where there is none. */
  static Object valueOf(byte[] json) {
    if (json == null || json.length == 0) return JSONObject.NULL;
    return new JSONTokener(new String(json, java.nio.charset.StandardCharsets.UTF_8)).nextValue();
  }

  static byte[] bytesOf(Object value) {
    return JSONObject.valueToString(value).getBytes(java.nio.charset.StandardCharsets.UTF_8);
  }

  static Object infoOf(ClientInfo info) {
    if (info == null) return JSONObject.NULL;
    return new JSONObject()
        .put("user", info.getUser())
        .put("client", info.getClient())
        .put("info", valueOf(info.getConnInfo()))
        .put("topicInfo", valueOf(info.getChanInfo()));
  }

  static Map<String, ?> publicationOf(
      String topic, byte[] data, long offset, ClientInfo info, Map<String, String> tags) {
    Object tagsOrNull = tags == null ? JSONObject.NULL : tags;
    return Map.of(
        "topic", topic, "data", valueOf(data), "offset", offset, "info", infoOf(info), "tags", tagsOrNull);
  }

  static Map<String, ?> subscribed(String topic, boolean wasRecovering, boolean recovered) {
    return Map.of("topic", topic, "wasRecovering", wasRecovering, "recovered", recovered);
  }

  /** Prints the events of a client. */
  static class ClientPrinter extends EventListener {
    final int number;

    ClientPrinter(int number) {
      this.number = number;
    }

    @Override
    public void onConnecting(Client client, ConnectingEvent event) {
      emit(number, "connecting", Map.of("code", event.getCode()));
    }

    @Override
    public void onConnected(Client client, ConnectedEvent event) {
      emit(number, "connected", Map.of("id", event.getClient()));
    }

    @Override
    public void onDisconnected(Client client, DisconnectedEvent event) {
      emit(number, "disconnected", Map.of("code", event.getCode(), "reason", event.getReason()));
    }

    @Override
    public void onSubscribed(Client client, ServerSubscribedEvent event) {
      emit(number, "subscribed", subscribed(event.getChannel(), event.wasRecovering(), event.getRecovered()));
    }

    @Override
    public void onUnsubscribed(Client client, ServerUnsubscribedEvent event) {
      emit(number, "unsubscribed", Map.of("topic", event.getChannel(), "code", 0));
    }

    @Override
    public void onPublication(Client client, ServerPublicationEvent e) {
      emit(
          number,
          "publication",
          publicationOf(e.getChannel(), e.getData(), e.getOffset(), e.getInfo(), e.getTags()));
    }
  }

  /** Prints the events of a subscription. */
  static class SubscriptionPrinter extends SubscriptionEventListener {
    final int number;

    SubscriptionPrinter(int number) {
      this.number = number;
    }

    @Override
    public void onSubscribed(Subscription sub, SubscribedEvent event) {
      emit(number, "subscribed", subscribed(sub.getChannel(), event.wasRecovering(), event.getRecovered()));
    }

    @Override
    public void onUnsubscribed(Subscription sub, UnsubscribedEvent event) {
      // The SDK (0.4.1) ends a subscription whose token has expired. It asks for another one when it subscribes again.
      if (event.getCode() == 109) {
        sub.subscribe();
        return;
      }
      emit(number, "unsubscribed", Map.of("topic", sub.getChannel(), "code", event.getCode()));
    }

    @Override
    public void onPublication(Subscription sub, PublicationEvent e) {
      emit(
          number,
          "publication",
          publicationOf(sub.getChannel(), e.getData(), e.getOffset(), e.getInfo(), e.getTags()));
    }

    @Override
    public void onJoin(Subscription sub, JoinEvent event) {
      emit(number, "join", Map.of("topic", sub.getChannel(), "info", infoOf(event.getInfo())));
    }

    @Override
    public void onLeave(Subscription sub, LeaveEvent event) {
      emit(number, "leave", Map.of("topic", sub.getChannel(), "info", infoOf(event.getInfo())));
    }
  }

  static Client newClient(int number, String address, JSONObject own) {
    Options options = new Options();
    options.setToken(own.optString("token"));
    options.setMinReconnectDelay(10);
    options.setMaxReconnectDelay(50);
    String fresh = own.optString("fresh");
    if (!fresh.isEmpty()) {
      options.setTokenGetter(
          new ConnectionTokenGetter() {
            @Override
            public void getConnectionToken(ConnectionTokenEvent event, TokenCallback callback) {
              emit(number, "token_requested", Map.of());
              callback.Done(null, fresh);
            }
          });
    }
    return new Client(address, options, new ClientPrinter(number));
  }

  static void subscribe(int number, Client client, String topic, JSONObject own) throws Exception {
    SubscriptionOptions options = new SubscriptionOptions();
    options.setRecoverable(true);
    options.setJoinLeave(true);
    options.setMinResubscribeDelay(10);
    options.setMaxResubscribeDelay(50);
    JSONObject tokens = own.optJSONObject("topicTokens", new JSONObject());
    if (tokens.has(topic)) options.setTokenGetter(new TopicTokens(number, tokens.getJSONArray(topic)));
    client.newSubscription(topic, options, new SubscriptionPrinter(number)).subscribe();
  }

  /** Hands out the tokens for a topic one by one, and the last one from then on. */
  static class TopicTokens extends SubscriptionTokenGetter {
    final int number;
    final JSONArray left;

    TopicTokens(int number, JSONArray tokens) {
      this.number = number;
      this.left = tokens;
    }

    @Override
    public synchronized void getSubscriptionToken(SubscriptionTokenEvent event, TokenCallback callback) {
      emit(number, "topic_token_requested", Map.of("topic", event.getChannel()));
      callback.Done(null, (String) (left.length() > 1 ? left.remove(0) : left.get(0)));
    }
  }

  /** Prints what a call came to. */
  static void answer(int number, Throwable error, Object value) {
    if (error instanceof ReplyError refused) {
      emit(number, "answer", Map.of("code", refused.getCode(), "message", refused.getMessage()));
    } else if (error != null) emit(number, "answer", Map.of("code", -1, "message", error.toString()));
    else emit(number, "answer", Map.of("value", value));
  }

  static void carryOut(int number, Client client, JSONObject call) {
    String topic = call.optString("topic");
    switch (call.getString("call")) {
      case "publish" ->
          client.publish(
              topic, bytesOf(call.get("data")), (error, result) -> answer(number, error, new JSONObject()));
      case "history" -> {
        HistoryOptions.Builder options = new HistoryOptions.Builder().withLimit(call.optInt("limit"));
        JSONObject since = call.optJSONObject("since");
        if (since != null) {
          options.withSince(new StreamPosition(since.getLong("offset"), since.getString("epoch")));
        }
        client.history(
            topic,
            options.withReverse(call.optBoolean("reverse")).build(),
            (error, page) -> answer(number, error, error == null ? pageOf(page) : null));
      }
      case "presence" ->
          client.presence(
              topic,
              (error, result) -> {
                JSONArray infos = new JSONArray();
                if (error == null) result.getClients().values().forEach(info -> infos.put(infoOf(info)));
                answer(number, error, infos);
              });
      case "presence_stats" ->
          client.presenceStats(
              topic,
              (error, stats) ->
                  answer(
                      number,
                      error,
                      error != null
                          ? null
                          : Map.of("clients", stats.getNumClients(), "users", stats.getNumUsers())));
      case "rpc" ->
          client.rpc(
              topic, bytesOf(call.get("data")), (error, result) -> answer(number, error, new JSONObject()));
      default -> {
        switch (call.getString("call")) {
          case "subscribe" -> client.getSubscription(topic).subscribe();
          case "unsubscribe" -> client.getSubscription(topic).unsubscribe();
          case "disconnect" -> client.disconnect();
          default -> throw new IllegalArgumentException(call.toString());
        }
        answer(number, null, JSONObject.NULL);
      }
    }
  }

  static Object pageOf(HistoryResult page) {
    JSONArray data = new JSONArray();
    page.getPublications().forEach(publication -> data.put(valueOf(publication.getData())));
    return new JSONObject()
        .put("offset", page.getOffset())
        .put("epoch", page.getEpoch())
        .put("data", data);
  }

  public static void main(String[] args) throws Exception {
    JSONObject given = new JSONObject(args[0]);
    JSONArray all = given.getJSONArray("clients");
    List<Client> clients = new ArrayList<>();
    for (int number = 0; number < all.length(); number++) {
      JSONObject own = all.getJSONObject(number);
      Client client = newClient(number, given.getString("address"), own);
      clients.add(client);
      for (Object topic : given.getJSONArray("topics")) subscribe(number, client, (String) topic, own);
      client.connect();
    }
    BufferedReader calls = new BufferedReader(new InputStreamReader(System.in));
    for (String line = calls.readLine(); line != null; line = calls.readLine()) {
      JSONObject call = new JSONObject(line);
      int number = call.getInt("client");
      carryOut(number, clients.get(number), call);
    }
    System.exit(0);
  }
}
