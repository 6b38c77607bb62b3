// As `rails generate channel` writes it.
import { createConsumer } from "@rails/actioncable"

export default createConsumer()
