// A mock cluster of Debian's librdkafka, three brokers, until the end of stdin. Its first line of output is where they listen; each line
// of input is answered with `ok`, or what is wrong.
//   topic NAME PARTITIONS · leader NAME PARTITION BROKER · down BROKER · up BROKER        (-1: all brokers)
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  char problem[512], line[512], name[256];
  int first, second;
  rd_kafka_conf_t *conf = rd_kafka_conf_new();
  rd_kafka_conf_set(conf, "log_level", "3", NULL, 0);
  rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, problem, sizeof problem);
  rd_kafka_mock_cluster_t *cluster = client ? rd_kafka_mock_cluster_new(client, 3) : NULL;
  if (!cluster) return 1;
  printf("%s\n", rd_kafka_mock_cluster_bootstraps(cluster));
  fflush(stdout);
  while (fgets(line, sizeof line, stdin)) {
    rd_kafka_resp_err_t error = RD_KAFKA_RESP_ERR__INVALID_ARG;
    if (sscanf(line, "topic %255s %d", name, &first) == 2)
      error = rd_kafka_mock_topic_create(cluster, name, first, 1);
    else if (sscanf(line, "leader %255s %d %d", name, &first, &second) == 3)
      error = rd_kafka_mock_partition_set_leader(cluster, name, first, second);
    else if (sscanf(line, "down %d", &first) == 1)
      error = rd_kafka_mock_broker_set_down(cluster, first);
    else if (sscanf(line, "up %d", &first) == 1)
      error = rd_kafka_mock_broker_set_up(cluster, first);
    puts(error ? rd_kafka_err2str(error) : "ok");
    fflush(stdout);
  }
  rd_kafka_mock_cluster_destroy(cluster);
  rd_kafka_destroy(client);
  return 0;
}
