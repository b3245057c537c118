while true; do
  echo "nothing in queue $QUEUE"
  sleep 5
done
